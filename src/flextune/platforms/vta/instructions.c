/* What instructions do, each checked against whatever touched the same entries before. */
#include "machine.h"

#include <string.h>

/* ---- the order that tokens force ---- */

static int ordered(const struct machine *m, int module, uint32_t other, uint32_t number) {
  return (uint32_t)module == other || m->modules[module].clock.done[other] >= number;
}

static int reads(struct machine *m, int module, int memory, int64_t index) {
  if (index >= m->hardware->entries[memory])
    return fail(m, "reads entry %lld of the %s buffer, which has %d", (long long)index, MEMORY_NAMES[memory],
                m->hardware->entries[memory]);
  struct entry *e = &m->buffers[memory].entries[index];
  if (!e->written) return fail(m, "reads entry %lld of the %s buffer, which was never written", (long long)index, MEMORY_NAMES[memory]);
  if (!ordered(m, module, e->writer, e->written))
    return fail(m, "reads entry %lld of the %s buffer without a token from %s, which writes it", (long long)index,
                MEMORY_NAMES[memory], MODULE_NAMES[e->writer]);
  e->read[module] = m->modules[module].started;
  return 0;
}

static int writes(struct machine *m, int module, int memory, int64_t index) {
  if (index >= m->hardware->entries[memory])
    return fail(m, "writes entry %lld of the %s buffer, which has %d", (long long)index, MEMORY_NAMES[memory],
                m->hardware->entries[memory]);
  struct entry *e = &m->buffers[memory].entries[index];
  if (e->written && !ordered(m, module, e->writer, e->written))
    return fail(m, "writes entry %lld of the %s buffer without a token from %s, which writes it too", (long long)index,
                MEMORY_NAMES[memory], MODULE_NAMES[e->writer]);
  for (int reader = 0; reader < MODULES; ++reader)
    if (e->read[reader] && !ordered(m, module, reader, e->read[reader]))
      return fail(m, "writes entry %lld of the %s buffer without a token from %s, which reads it", (long long)index,
                  MEMORY_NAMES[memory], MODULE_NAMES[reader]);
  e->writer = module;
  e->written = m->modules[module].started;
  return 0;
}

/* ---- what instructions do; each returns when it ends, in `m->end` ---- */

static uint64_t transferred(struct machine *m, uint64_t start, uint64_t rows, uint64_t row_bytes) {
  uint64_t beats = rows * ((row_bytes + m->hardware->bus_bytes - 1) / m->hardware->bus_bytes);
  uint64_t begin = start + m->hardware->latency;
  if (begin < m->bus_free) begin = m->bus_free;
  m->report->dram_bytes += rows * row_bytes;
  return beats ? (m->bus_free = begin + beats) : start;
}

static int run_load(struct machine *m, int module, const struct memory_fields *f, uint64_t start) {
  struct buffer *buffer = &m->buffers[f->type];
  uint64_t size = buffer->entry_bytes, width = (uint64_t)f->left + f->columns + f->right;
  uint64_t height = (uint64_t)f->top + f->rows + f->bottom, padded = width * height - (uint64_t)f->rows * f->columns;
  int64_t at = f->sram;
  for (uint64_t row = 0; row < height; ++row)
    for (uint64_t column = 0; column < width; ++column, ++at) {
      if (writes(m, module, f->type, at)) return 1;
      int inside = row >= f->top && row - f->top < f->rows && column >= f->left && column - f->left < f->columns;
      uint64_t from = ((uint64_t)f->dram + (row - f->top) * f->stride + (column - f->left)) * size;
      if (!inside) memset(buffer->bytes + at * size, 0, size);
      else if (from + size > m->dram_bytes) return fail(m, "loads byte %llu of a memory of %llu", (unsigned long long)(from + size), (unsigned long long)m->dram_bytes);
      else memcpy(buffer->bytes + at * size, m->dram + from, size);
    }
  m->end = transferred(m, start, f->rows, f->columns * size) + padded;
  return 0;
}

static int run_store(struct machine *m, const struct memory_fields *f, uint64_t start) {
  struct buffer *buffer = &m->buffers[MEMORY_OUTPUT];
  uint64_t size = buffer->entry_bytes;
  int64_t at = f->sram;
  if (f->type != MEMORY_OUTPUT) return fail(m, "stores from the %s buffer", f->type < MEMORIES ? MEMORY_NAMES[f->type] : "unknown");
  if (f->top | f->bottom | f->left | f->right) return fail(m, "a store has no padding");
  for (uint64_t row = 0; row < f->rows; ++row)
    for (uint64_t column = 0; column < f->columns; ++column, ++at) {
      if (reads(m, STORE, MEMORY_OUTPUT, at)) return 1;
      uint64_t to = ((uint64_t)f->dram + row * f->stride + column) * size;
      if (to < m->writable[0] || to + size > m->writable[1])
        return fail(m, "stores at byte %llu; results lie from %llu to %llu", (unsigned long long)to,
                    (unsigned long long)m->writable[0], (unsigned long long)m->writable[1]);
      memcpy(m->dram + to, buffer->bytes + at * size, size);
    }
  m->end = transferred(m, start, f->rows, f->columns * size);
  return 0;
}

static void put_out(struct machine *m, int64_t index) { /* the output buffer follows what is accumulated */
  const int32_t *sums = (const int32_t *)m->buffers[MEMORY_ACCUMULATOR].bytes + index * BLOCK;
  uint8_t *out = m->buffers[MEMORY_OUTPUT].bytes + index * m->buffers[MEMORY_OUTPUT].entry_bytes;
  if (m->hardware->output_bytes == 4) memcpy(out, sums, ACCUMULATOR_BYTES);
  else for (int i = 0; i < BLOCK; ++i) out[i] = (uint8_t)sums[i];
}

static void multiply(const int8_t *input, const int8_t *weight, int32_t *sums) {
  for (int o = 0; o < BLOCK; ++o) {
    int32_t sum = 0;
    for (int i = 0; i < BLOCK; ++i) sum += (int32_t)input[i] * weight[o * BLOCK + i];
    sums[o] = (int32_t)((uint32_t)sums[o] + (uint32_t)sum);
  }
}

static int gemm_operation(struct machine *m, const struct loop_fields *f, int64_t dst, int64_t src, int64_t weight) {
  int32_t *sums = (int32_t *)m->buffers[MEMORY_ACCUMULATOR].bytes + dst * BLOCK;
  ++m->gemm_clock;
  if (!f->reset) {
    if (reads(m, COMPUTE, MEMORY_ACCUMULATOR, dst) || reads(m, COMPUTE, MEMORY_INPUT, src) || reads(m, COMPUTE, MEMORY_WEIGHT, weight)) return 1;
    if (m->gemm_cycle[dst] && m->gemm_clock - m->gemm_cycle[dst] < (uint64_t)m->hardware->access)
      return fail(m, "accumulator %lld is needed %llu cycle after it was written; that takes %d", (long long)dst,
                  (unsigned long long)(m->gemm_clock - m->gemm_cycle[dst]), m->hardware->access);
  }
  if (writes(m, COMPUTE, MEMORY_ACCUMULATOR, dst) || writes(m, COMPUTE, MEMORY_OUTPUT, dst)) return 1;
  if (f->reset) memset(sums, 0, ACCUMULATOR_BYTES);
  else multiply((int8_t *)m->buffers[MEMORY_INPUT].bytes + src * BLOCK, (int8_t *)m->buffers[MEMORY_WEIGHT].bytes + weight * WEIGHT_BYTES, sums);
  put_out(m, dst);
  m->gemm_cycle[dst] = m->gemm_clock;
  return 0;
}

static int32_t alu_result(uint32_t operation, int32_t left, int32_t right) {
  if (operation == ALU_MIN) return left < right ? left : right;
  if (operation == ALU_MAX) return left > right ? left : right;
  if (operation == ALU_ADD) return (int32_t)((uint32_t)left + (uint32_t)right);
  if (right >= 0) return left >> (right > 31 ? 31 : right); /* arithmetic: the sign fills */
  return right < -31 ? 0 : (int32_t)((uint32_t)left << -right);
}

static int alu_operation(struct machine *m, const struct loop_fields *f, int64_t dst, int64_t src) {
  int32_t *sums = (int32_t *)m->buffers[MEMORY_ACCUMULATOR].bytes;
  if (reads(m, COMPUTE, MEMORY_ACCUMULATOR, dst) || (!f->immediate && reads(m, COMPUTE, MEMORY_ACCUMULATOR, src))) return 1;
  if (writes(m, COMPUTE, MEMORY_ACCUMULATOR, dst) || writes(m, COMPUTE, MEMORY_OUTPUT, dst)) return 1;
  for (int i = 0; i < BLOCK; ++i)
    sums[dst * BLOCK + i] = alu_result(f->operation, sums[dst * BLOCK + i], f->immediate ? f->value : sums[src * BLOCK + i]);
  put_out(m, dst);
  return 0;
}

static int run_loops(struct machine *m, const struct loop_fields *f, int is_gemm, uint64_t start) {
  const uint32_t *micro = (const uint32_t *)m->buffers[MEMORY_UOP].bytes;
  uint64_t operations = 0;
  m->gemm_clock += m->hardware->access; /* the pipeline is empty between two instructions */
  for (uint32_t u = f->begin; u < f->end; ++u)
    if (reads(m, COMPUTE, MEMORY_UOP, u)) return 1;
  for (uint32_t i = 0; i < f->outer; ++i)
    for (uint32_t j = 0; j < f->inner; ++j)
      for (uint32_t u = f->begin; u < f->end; ++u, ++operations) {
        int64_t dst = (micro[u] & 2047) + (int64_t)i * f->dst[0] + (int64_t)j * f->dst[1];
        int64_t src = (micro[u] >> 11 & 2047) + (int64_t)i * f->src[0] + (int64_t)j * f->src[1];
        int64_t weight = (micro[u] >> 22) + (int64_t)i * f->weight[0] + (int64_t)j * f->weight[1];
        if (is_gemm ? gemm_operation(m, f, dst, src, weight) : alu_operation(m, f, dst, src)) return 1;
      }
  *(is_gemm ? &m->report->gemm_operations : &m->report->alu_operations) += is_gemm && f->reset ? 0 : operations;
  m->end = start + m->hardware->fill + operations * (is_gemm ? 1 : m->hardware->alu_cycles);
  return 0;
}

static int run_finish(struct machine *m, uint64_t start) {
  if (m->modules[COMPUTE].clock.done[STORE] < m->modules[STORE].count)
    return fail(m, "FINISH does not wait for the last store: the host would read results that are not there");
  m->finished = 1;
  m->end = start + 1;
  return 0;
}

int execute(struct machine *m, int module, const uint64_t *word, uint64_t start) {
  struct memory_fields memory = memory_of(word);
  struct loop_fields loops = loops_of(word);
  switch (opcode(word)) {
  case OP_LOAD: return memory.type < MEMORY_OUTPUT ? run_load(m, module, &memory, start) : fail(m, "loads into no buffer");
  case OP_STORE: return run_store(m, &memory, start);
  case OP_GEMM: return run_loops(m, &loops, 1, start);
  case OP_ALU: return run_loops(m, &loops, 0, start);
  case OP_FINISH: return run_finish(m, start);
  default: return fail(m, "is no instruction: operation %u", opcode(word));
  }
}
