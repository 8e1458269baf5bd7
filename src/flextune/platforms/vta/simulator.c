/* A deterministic simulator of VTA (Moreau et al., "A Hardware-Software Blueprint for Flexible Deep Learning
 * Specialization", IEEE Micro 2019): executes a stream of instructions with exact results and counts cycles.
 *
 * Three modules - load, compute, store - take instructions from a queue each and go on at once. They wait for each
 * other by tokens alone. Whatever real hardware would do wrong without a word is a fault here, with the instruction's
 * number: a deadlock, an index outside of a buffer, an entry that was never written, an accumulator that is needed
 * again before the pipeline has written it, and two modules that touch one entry without a token between them.
 *
 * The last is found from the order that tokens force, not from the cycles of this run: each instruction has a vector
 * clock, how many instructions of each module are sure to have ended before it, and each entry of a buffer keeps who
 * wrote and read it last. So a token left out is found even where this run happens to go well.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, WEIGHT_BYTES = BLOCK * BLOCK, ACCUMULATOR_BYTES = BLOCK * 4, INSTRUCTION_BYTES = 16 };
enum { OP_LOAD, OP_STORE, OP_GEMM, OP_FINISH, OP_ALU };
enum { MEMORY_UOP, MEMORY_WEIGHT, MEMORY_INPUT, MEMORY_ACCUMULATOR, MEMORY_OUTPUT, MEMORIES };
enum { ALU_MIN, ALU_MAX, ALU_ADD, ALU_SHR };
enum { LOAD, COMPUTE, STORE, MODULES };
enum { LOAD_TO_COMPUTE, COMPUTE_TO_LOAD, COMPUTE_TO_STORE, STORE_TO_COMPUTE, CHANNELS };

static const char *const MODULE_NAMES[] = {"load", "compute", "store"};
static const char *const MEMORY_NAMES[] = {"micro-op", "weight", "input", "accumulator", "output"};

/* Beside memory, in the order of `hardware.py`. */
struct vta_hardware {
  int32_t entries[MEMORIES]; /* of each buffer */
  int32_t output_bytes;      /* of one element that is stored: 1 or 4 */
  int32_t access;            /* cycles until an accumulator that was written can be written again */
  int32_t alu_cycles;        /* of one ALU operation on one entry */
  int32_t fill;              /* cycles until the first result of a GEMM or ALU instruction */
  int32_t latency;           /* cycles until the first byte of a transfer */
  int32_t bus_bytes;         /* a cycle */
  int32_t queue;             /* instructions that wait for a module */
  int32_t tokens;            /* that wait between two modules */
};

struct vta_report {
  uint64_t cycles, busy[MODULES], gemm_operations, alu_operations, dram_bytes;
  int64_t instruction; /* where it went wrong, or -1 */
  char fault[256];
};

struct clock { uint32_t done[MODULES]; };
struct token { uint64_t ready; struct clock clock; };
struct channel { struct token *waiting; uint32_t first, count; };

struct entry { /* of a buffer: who touched it last, by the module's own count of instructions, from 1 */
  uint32_t writer, written, read[MODULES];
};

struct buffer { uint8_t *bytes; struct entry *entries; int32_t entry_bytes; };

struct module {
  uint32_t *program; /* the numbers of its instructions */
  uint32_t count, dispatched, started;
  uint64_t free, *available, *starts; /* when each reached the queue, and left it */
  struct clock clock;
};

struct machine {
  const struct vta_hardware *hardware;
  const uint64_t *program;
  uint8_t *dram;
  uint64_t dram_bytes, writable[2], bus_free, fetched, end;
  uint32_t count, dispatched, current;
  int finished;
  struct buffer buffers[MEMORIES];
  struct channel channels[CHANNELS];
  struct module modules[MODULES];
  uint64_t *gemm_cycle; /* when each accumulator was written last, in cycles of GEMM operations */
  uint64_t gemm_clock;
  struct vta_report *report;
};

struct memory_fields { uint32_t type, sram, dram, rows, columns, stride, top, bottom, left, right; };
struct loop_fields { uint32_t reset, begin, end, outer, inner, dst[2], src[2], weight[2], operation, immediate; int32_t value; };

static uint64_t bits(uint64_t word, int low, int count) { return word >> low & ((UINT64_C(1) << count) - 1); }

static int fail(struct machine *m, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(m->report->fault, sizeof m->report->fault, format, arguments);
  va_end(arguments);
  m->report->instruction = m->current;
  return 1;
}

/* ---- instructions as they are stored: 128 bits, two words ---- */

static uint32_t opcode(const uint64_t *word) { return bits(word[0], 0, 3); }
static int pops_previous(const uint64_t *word) { return bits(word[0], 3, 1); }
static int pops_next(const uint64_t *word) { return bits(word[0], 4, 1); }
static int pushes_previous(const uint64_t *word) { return bits(word[0], 5, 1); }
static int pushes_next(const uint64_t *word) { return bits(word[0], 6, 1); }

static struct memory_fields memory_of(const uint64_t *w) {
  return (struct memory_fields){bits(w[0], 7, 3),   bits(w[0], 10, 16), bits(w[0], 26, 32), bits(w[1], 0, 16),
                                bits(w[1], 16, 16), bits(w[1], 32, 16), bits(w[1], 48, 4),  bits(w[1], 52, 4),
                                bits(w[1], 56, 4),  bits(w[1], 60, 4)};
}

static struct loop_fields loops_of(const uint64_t *w) {
  struct loop_fields f = {bits(w[0], 7, 1), bits(w[0], 8, 13), bits(w[0], 21, 14), bits(w[0], 35, 14), bits(w[0], 49, 14),
                          {bits(w[1], 0, 11), bits(w[1], 11, 11)}, {bits(w[1], 22, 11), bits(w[1], 33, 11)},
                          {bits(w[1], 44, 10), bits(w[1], 54, 10)}, bits(w[1], 44, 2), bits(w[1], 46, 1),
                          (int16_t)bits(w[1], 47, 16)};
  return f;
}

static int module_of(const uint64_t *word) {
  if (opcode(word) == OP_STORE) return STORE;
  if (opcode(word) != OP_LOAD) return COMPUTE;
  uint32_t type = memory_of(word).type;
  return type == MEMORY_INPUT || type == MEMORY_WEIGHT ? LOAD : COMPUTE;
}

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

/* The channels of a module's four token bits; -1 where it has no such neighbour. */
static const int POP_PREVIOUS[] = {-1, LOAD_TO_COMPUTE, COMPUTE_TO_STORE};
static const int POP_NEXT[] = {COMPUTE_TO_LOAD, STORE_TO_COMPUTE, -1};
static const int PUSH_PREVIOUS[] = {-1, COMPUTE_TO_LOAD, STORE_TO_COMPUTE};
static const int PUSH_NEXT[] = {LOAD_TO_COMPUTE, COMPUTE_TO_STORE, -1};

/* When the tokens that an instruction waits for are all there; UINT64_MAX where one is not. */
static uint64_t tokens_ready(const struct machine *m, int module, const uint64_t *word) {
  const int wanted[] = {pops_previous(word) ? POP_PREVIOUS[module] : -1, pops_next(word) ? POP_NEXT[module] : -1};
  uint64_t ready = 0;
  for (int i = 0; i < 2; ++i) {
    if (wanted[i] < 0) continue;
    const struct channel *c = &m->channels[wanted[i]];
    if (!c->count) return UINT64_MAX;
    if (c->waiting[c->first].ready > ready) ready = c->waiting[c->first].ready;
  }
  return ready;
}

static void pop(struct machine *m, int module, int channel) {
  struct channel *c = &m->channels[channel];
  const struct clock *from = &c->waiting[c->first].clock;
  for (int i = 0; i < MODULES; ++i)
    if (from->done[i] > m->modules[module].clock.done[i]) m->modules[module].clock.done[i] = from->done[i];
  c->first = (c->first + 1) % m->hardware->tokens;
  --c->count;
}

static int push(struct machine *m, int module, int channel, uint64_t ready) {
  struct channel *c = &m->channels[channel];
  if (c->count == (uint32_t)m->hardware->tokens)
    return fail(m, "more than %d tokens wait for one module", m->hardware->tokens);
  c->waiting[(c->first + c->count++) % m->hardware->tokens] = (struct token){ready, m->modules[module].clock};
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

static int execute(struct machine *m, int module, const uint64_t *word, uint64_t start) {
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

/* ---- the three modules, and what gives them instructions ---- */

/* Instructions are fetched in order; one whose queue is full keeps those behind it waiting. */
static void dispatch(struct machine *m) {
  uint64_t fetch = (INSTRUCTION_BYTES + m->hardware->bus_bytes - 1) / m->hardware->bus_bytes;
  while (m->dispatched < m->count) {
    struct module *to = &m->modules[module_of(m->program + 2 * (uint64_t)m->dispatched)];
    uint32_t room = m->hardware->queue;
    if (to->dispatched - to->started >= room) return;
    m->fetched += fetch;
    if (to->dispatched >= room && to->starts[to->dispatched - room] > m->fetched) m->fetched = to->starts[to->dispatched - room];
    to->program[to->dispatched] = m->dispatched++;
    to->available[to->dispatched++] = m->fetched;
  }
}

static uint64_t start_of(const struct machine *m, int number) {
  const struct module *module = &m->modules[number];
  if (module->started == module->dispatched) return UINT64_MAX;
  uint64_t start = tokens_ready(m, number, m->program + 2 * (uint64_t)module->program[module->started]);
  if (start == UINT64_MAX) return start;
  if (start < module->available[module->started]) start = module->available[module->started];
  return start > module->free ? start : module->free;
}

static int step(struct machine *m, int number, uint64_t start) {
  struct module *module = &m->modules[number];
  m->current = module->program[module->started];
  const uint64_t *word = m->program + 2 * (uint64_t)m->current;
  const int pops[] = {pops_previous(word) ? POP_PREVIOUS[number] : -2, pops_next(word) ? POP_NEXT[number] : -2};
  const int pushes[] = {pushes_previous(word) ? PUSH_PREVIOUS[number] : -2, pushes_next(word) ? PUSH_NEXT[number] : -2};
  for (int i = 0; i < 2; ++i)
    if (pops[i] == -1 || pushes[i] == -1) return fail(m, "has a token for a module that %s is not beside", MODULE_NAMES[number]);
  for (int i = 0; i < 2; ++i)
    if (pops[i] >= 0) pop(m, number, pops[i]);
  module->starts[module->started++] = start;
  module->clock.done[number] = module->started;
  if (execute(m, number, word, start)) return 1;
  for (int i = 0; i < 2; ++i)
    if (pushes[i] >= 0 && push(m, number, pushes[i], m->end)) return 1;
  m->report->busy[number] += m->end - start;
  module->free = m->end;
  if (m->end > m->report->cycles) m->report->cycles = m->end;
  return 0;
}

static int deadlock(struct machine *m) {
  for (int number = 0; number < MODULES; ++number) {
    const struct module *module = &m->modules[number];
    if (module->started == module->dispatched) continue;
    m->current = module->program[module->started];
    return fail(m, "deadlock: the %s module waits for a token that nobody will push", MODULE_NAMES[number]);
  }
  return fail(m, "deadlock"); /* cannot be: what was not dispatched waits for what was */
}

static int run(struct machine *m) {
  for (;;) {
    dispatch(m);
    int next = -1;
    uint64_t earliest = UINT64_MAX;
    for (int number = 0; number < MODULES; ++number) {
      uint64_t start = start_of(m, number);
      if (start < earliest) { earliest = start; next = number; }
    }
    if (next < 0) break;
    if (step(m, next, earliest)) return 1;
  }
  for (int number = 0; number < MODULES; ++number)
    if (m->modules[number].started < m->modules[number].count) return deadlock(m);
  m->current = m->count ? m->count - 1 : 0;
  return m->finished ? 0 : fail(m, "the program has no FINISH");
}

static int allocate(struct machine *m) {
  const int32_t entry_bytes[] = {4, WEIGHT_BYTES, BLOCK, ACCUMULATOR_BYTES, BLOCK * m->hardware->output_bytes};
  int lacks = 0;
  for (int i = 0; i < MEMORIES; ++i) {
    struct buffer *b = &m->buffers[i];
    b->entry_bytes = entry_bytes[i];
    b->bytes = calloc(m->hardware->entries[i], entry_bytes[i]);
    b->entries = calloc(m->hardware->entries[i], sizeof *b->entries);
    lacks |= !b->bytes || !b->entries;
  }
  for (int i = 0; i < CHANNELS; ++i)
    lacks |= !(m->channels[i].waiting = calloc(m->hardware->tokens, sizeof(struct token)));
  for (uint32_t i = 0; i < m->count; ++i) ++m->modules[module_of(m->program + 2 * (uint64_t)i)].count;
  for (int i = 0; i < MODULES; ++i) {
    struct module *module = &m->modules[i];
    lacks |= !(module->program = calloc(module->count + 1, sizeof *module->program));
    lacks |= !(module->available = calloc(module->count + 1, sizeof *module->available));
    lacks |= !(module->starts = calloc(module->count + 1, sizeof *module->starts));
  }
  return lacks | !(m->gemm_cycle = calloc(m->hardware->entries[MEMORY_ACCUMULATOR], sizeof *m->gemm_cycle));
}

static void release(struct machine *m) {
  for (int i = 0; i < MEMORIES; ++i) { free(m->buffers[i].bytes); free(m->buffers[i].entries); }
  for (int i = 0; i < CHANNELS; ++i) free(m->channels[i].waiting);
  for (int i = 0; i < MODULES; ++i) { free(m->modules[i].program); free(m->modules[i].available); free(m->modules[i].starts); }
  free(m->gemm_cycle);
}

/* Run `count` instructions on a memory whose bytes from `begin` to `end`, no further than all, take results. 0: right;
 * 1: see the report's fault; 2: no memory for the simulator. */
__attribute__((visibility("default")))
int vta_run(const struct vta_hardware *hardware, const uint64_t *program, uint32_t count, uint8_t *dram,
            uint64_t dram_bytes, uint64_t begin, uint64_t end, struct vta_report *report) {
  struct machine m = {.hardware = hardware, .program = program, .count = count, .dram = dram, .dram_bytes = dram_bytes,
                      .writable = {begin, end < dram_bytes ? end : dram_bytes}, .report = report};
  memset(report, 0, sizeof *report);
  report->instruction = -1;
  int outcome = allocate(&m) ? 2 : run(&m);
  release(&m);
  return outcome;
}
