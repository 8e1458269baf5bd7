#define _GNU_SOURCE
#include "emulation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))

/* What the interface says that Mmad and one copy take. */
enum { MOST_PRODUCT = 4095, MOST_COPIED_ROWS = 4095, MOST_COPIED_BYTES = 2097151, MOST_FRACTAL_ROWS = 16384 };
enum { LINE = 32, EVENTS = 8, FRACTAL = 16, FRACTAL_BYTES = 512, FEW_FRACTALS = 10 };

typedef _Float16 half;

/* What a memory remembers of every 32 bytes: which instruction wrote them last, and which read them last. */
struct line {
  int writer; /* a pipe, or PIPES */
  uint32_t written, read[PIPES];
};

struct memory {
  uint8_t *bytes, *written;
  struct line *lines;
  uint32_t used;
};

/* What a pipe knows to have ended on every pipe, and the cycle when it knew. */
struct knowledge {
  uint32_t done[PIPES];
  double cycle;
};

static const char *const PLACE_NAMES[] = {"UB", "L1", "L0A", "L0B", "L0C", "BT"};
static const char *const PIPE_NAMES[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};

/* One run at a time in a process: a kernel calls these functions without naming it. */
static struct {
  const struct ascend_chip *chip;
  struct ascend_report *report;
  struct memory memories[PLACES];
  struct knowledge known[PIPES];
  uint32_t issued[PIPES], barrier[PIPES];
  int events[PIPES][PIPES][EVENTS]; /* a token + 1; 0 where it is not set */
  struct knowledge *tokens;
  int token_count, token_room;
  uint8_t *const *arguments;
  const uint64_t *sizes;
  int argument_count;
  int64_t block, blocks;
  const char *operation;
  jmp_buf end;
} run;

static void fault(const char *format, ...) {
  char text[192];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  snprintf(run.report->fault, sizeof run.report->fault, "%s on core %d: %s", run.operation, (int)run.block, text);
  longjmp(run.end, 1);
}

API void ascend_fault(const char *operation, const char *reason) {
  run.operation = operation;
  fault("%s", reason);
}

API int64_t ascend_block(void) { return run.block; }
API int64_t ascend_blocks(void) { return run.blocks; }

/* ---- Who has ended what. */

static void issue(int pipe, const char *operation, double cycles) {
  run.operation = operation;
  run.known[pipe].done[pipe] = ++run.issued[pipe];
  if (run.known[pipe].cycle < run.known[SCALAR].cycle) /* it hands out all instructions, in order */
    run.known[pipe].cycle = run.known[SCALAR].cycle;
  run.known[pipe].cycle += cycles;
  run.report->busy[pipe] += cycles;
}

/* Pipes that start an instruction before the one ahead of it has written: the vector unit, and copies. */
static int needs_barrier(int pipe) { return pipe == VECTOR || pipe == MTE2; }

static void must_have_ended(int pipe, int other, uint32_t number, int place, const char *what) {
  if (!number)
    return;
  if (other == pipe) {
    if (needs_barrier(pipe) && number > run.barrier[pipe] && number != run.issued[pipe])
      fault("no barrier in %s after what %s this part of %s", PIPE_NAMES[pipe], what, PLACE_NAMES[place]);
  } else if (run.known[pipe].done[other] < number) {
    fault("%s does not wait for %s, which %s this part of %s", PIPE_NAMES[pipe], PIPE_NAMES[other], what,
          PLACE_NAMES[place]);
  }
}

static uint8_t *piece(struct ascend_local of, uint64_t from, uint64_t bytes) {
  if (from + bytes > of.bytes)
    fault("%llu bytes from byte %llu of a tensor of %u in %s", (unsigned long long)bytes, (unsigned long long)from,
          of.bytes, PLACE_NAMES[of.place]);
  return run.memories[of.place].bytes + of.offset + from;
}

static const uint8_t *reads(int pipe, struct ascend_local of, uint64_t from, uint64_t bytes) {
  const uint8_t *found = piece(of, from, bytes);
  struct memory *memory = &run.memories[of.place];
  uint64_t first = of.offset + from;
  if (bytes && memchr(memory->written + first, 0, bytes))
    fault("reads what nothing wrote in %s", PLACE_NAMES[of.place]);
  for (uint64_t at = first / LINE; bytes && at <= (first + bytes - 1) / LINE; ++at) {
    struct line *line = &memory->lines[at];
    if (line->writer != PIPES)
      must_have_ended(pipe, line->writer, line->written, of.place, "wrote");
    line->read[pipe] = run.issued[pipe];
  }
  return found;
}

static uint8_t *writes(int pipe, struct ascend_local of, uint64_t from, uint64_t bytes) {
  uint8_t *found = piece(of, from, bytes);
  struct memory *memory = &run.memories[of.place];
  uint64_t first = of.offset + from;
  memset(memory->written + first, 1, bytes);
  for (uint64_t at = first / LINE; bytes && at <= (first + bytes - 1) / LINE; ++at) {
    struct line *line = &memory->lines[at];
    for (int other = 0; other < PIPES; ++other)
      if (line->read[other] && other != pipe)
        must_have_ended(pipe, other, line->read[other], of.place, "read");
    if (line->writer != PIPES)
      must_have_ended(pipe, line->writer, line->written, of.place, "wrote");
    line->writer = pipe;
    line->written = run.issued[pipe];
  }
  return found;
}

/* Part of an argument in global memory. */
static void global(const uint8_t *from, uint64_t bytes, int is_written) {
  for (int each = 0; each < run.argument_count; ++each) {
    const uint8_t *begin = run.arguments[each];
    if (from < begin || from >= begin + run.sizes[each])
      continue;
    if (from + bytes > begin + run.sizes[each])
      fault("%llu bytes beyond argument %d", (unsigned long long)(from + bytes - begin - run.sizes[each]), each);
    if (is_written && each != run.argument_count - 1)
      fault("writes argument %d, which is an input", each);
    return;
  }
  fault("reaches global memory that is no argument");
}

API int ascend_token(int pipe) {
  if (run.token_count == run.token_room) {
    int room = run.token_room ? 2 * run.token_room : 1024;
    struct knowledge *larger = realloc(run.tokens, room * sizeof *larger);
    if (!larger)
      longjmp(run.end, 2);
    run.tokens = larger, run.token_room = room;
  }
  run.tokens[run.token_count] = run.known[pipe];
  return run.token_count++;
}

API void ascend_join(int pipe, int token) {
  const struct knowledge *other = &run.tokens[token];
  struct knowledge *own = &run.known[pipe];
  for (int each = 0; each < PIPES; ++each)
    if (each != pipe && own->done[each] < other->done[each])
      own->done[each] = other->done[each];
  if (run.barrier[pipe] < other->done[pipe]) /* of its own, for which the other pipe waited */
    run.barrier[pipe] = other->done[pipe];
  if (own->cycle < other->cycle)
    own->cycle = other->cycle;
}

static int *event_of(int from, int to, int event) {
  if (event < 0 || event >= EVENTS)
    fault("there is no event %d", event);
  return &run.events[from][to][event];
}

API void ascend_set(int from, int to, int event) {
  run.operation = "SetFlag";
  int *found = event_of(from, to, event);
  if (*found)
    fault("event %d from %s to %s is set again before it was waited for", event, PIPE_NAMES[from], PIPE_NAMES[to]);
  *found = ascend_token(from) + 1;
}

API void ascend_wait(int from, int to, int event) {
  run.operation = "WaitFlag";
  int *found = event_of(from, to, event);
  if (!*found)
    fault("%s waits for event %d of %s, which is not set: it would wait forever", PIPE_NAMES[to], event,
          PIPE_NAMES[from]);
  ascend_join(to, *found - 1);
  *found = 0;
}

API void ascend_barrier(int pipe) { run.barrier[pipe] = run.issued[pipe]; }

API struct ascend_local ascend_take(int place, uint32_t bytes) {
  run.operation = "InitBuffer";
  struct memory *memory = &run.memories[place];
  uint32_t room = (bytes + LINE - 1) / LINE * LINE;
  if (room > run.chip->bytes[place] - memory->used)
    fault("%s holds %u bytes, not %u", PLACE_NAMES[place], run.chip->bytes[place], memory->used + room);
  struct ascend_local taken = {place, memory->used, bytes};
  memory->used += room;
  return taken;
}

API struct ascend_local ascend_part(struct ascend_local whole, uint64_t offset) {
  if (offset > whole.bytes)
    ascend_fault("operator[]", "begins beyond its tensor");
  struct ascend_local part = {whole.place, whole.offset + (uint32_t)offset, whole.bytes - (uint32_t)offset};
  return part;
}

API float ascend_value(struct ascend_local from, uint32_t index) {
  issue(SCALAR, "GetValue", 1);
  float value;
  memcpy(&value, reads(SCALAR, from, (uint64_t)index * sizeof value, sizeof value), sizeof value);
  return value;
}

/* ---- Moving data. To and from global memory 64 bytes a cycle and core, and 30 cycles to start; between memories of
   the core 256 bytes a cycle. These, and the cycles below, are round numbers for a model, not Huawei's. */

static double outside(uint64_t bytes) {
  run.report->global_bytes += bytes;
  return 30 + bytes / 64.0;
}

static void aligned(struct ascend_local of, uint32_t bytes) {
  if (of.offset % bytes)
    fault("begins at byte %u of %s, which is no multiple of %u", of.offset, PLACE_NAMES[of.place], bytes);
}

static void copyable(uint32_t rows, uint64_t bytes) {
  if (!rows || rows > MOST_COPIED_ROWS || !bytes || bytes > MOST_COPIED_BYTES)
    fault("copies %u rows of %llu bytes; 1 to %d rows of 1 to %d go", rows, (unsigned long long)bytes, MOST_COPIED_ROWS,
          MOST_COPIED_BYTES);
}

API void ascend_copy_in(struct ascend_local to, const uint8_t *from, uint32_t rows, uint64_t bytes, uint64_t gap,
                        uint32_t pitch) {
  issue(MTE2, "DataCopyPad", outside(rows * bytes));
  copyable(rows, bytes);
  aligned(to, LINE);
  global(from, (rows - 1) * (bytes + gap) + bytes, 0);
  uint64_t padded = (bytes + LINE - 1) / LINE * LINE;
  for (uint32_t row = 0; row < rows; ++row) {
    uint8_t *at = writes(MTE2, to, (uint64_t)row * pitch, padded);
    memcpy(at, from + row * (bytes + gap), bytes);
    memset(at + bytes, 0, padded - bytes);
  }
}

API void ascend_copy_out(uint8_t *to, struct ascend_local from, uint32_t rows, uint64_t bytes, uint64_t gap,
                         uint32_t pitch) {
  issue(MTE3, "DataCopyPad", outside(rows * bytes));
  copyable(rows, bytes);
  aligned(from, LINE);
  global(to, (rows - 1) * (bytes + gap) + bytes, 1);
  for (uint32_t row = 0; row < rows; ++row)
    memcpy(to + row * (bytes + gap), reads(MTE3, from, (uint64_t)row * pitch, bytes), bytes);
}

API void ascend_copy_bias(struct ascend_local to, struct ascend_local from, uint32_t bytes) {
  issue(MTE1, "DataCopy", 4 + bytes / 128.0);
  if (to.place != BT || from.place != L1 || bytes % 64)
    fault("biases go from L1 to the bias table, by multiples of 64 bytes");
  const uint8_t *source = reads(MTE1, from, 0, bytes);
  memcpy(writes(MTE1, to, 0, bytes), source, bytes);
}

API void ascend_fill(struct ascend_local to, uint32_t bytes, float value) {
  issue(MTE2, "InitConstValue", 8 + bytes / 256.0);
  if (to.place != L1 || bytes % LINE)
    fault("fills L1, by multiples of %d bytes", LINE);
  half *at = (half *)writes(MTE2, to, 0, bytes);
  for (uint32_t each = 0; each < bytes / sizeof *at; ++each)
    at[each] = (half)value;
}

/* Rows of a matrix as fractals of 16 rows of 32 bytes, one column of fractals after the other; the last columns are
   filled up with zeros. */
API void ascend_fractals_in(struct ascend_local to, const uint8_t *from, uint32_t rows, uint32_t columns, uint64_t row,
                            uint32_t column_pitch) {
  issue(MTE2, "DataCopy", outside((uint64_t)rows * columns * sizeof(half)));
  aligned(to, LINE);
  if (to.place != L1)
    fault("matrices go to L1");
  if (!rows || !columns || rows > MOST_FRACTAL_ROWS)
    fault("copies %u rows of %u; 1 to %d rows go", rows, columns, MOST_FRACTAL_ROWS);
  global(from, ((rows - 1) * row + columns) * sizeof(half), 0);
  for (uint32_t column = 0; column < columns; column += FRACTAL) {
    uint32_t here = columns - column < FRACTAL ? columns - column : FRACTAL;
    uint64_t begin = (uint64_t)column / FRACTAL * column_pitch * LINE;
    uint8_t *at = writes(MTE2, to, begin, (uint64_t)rows * LINE);
    memset(at, 0, (uint64_t)rows * LINE);
    for (uint32_t each = 0; each < rows; ++each)
      memcpy(at + (uint64_t)each * LINE, from + (each * row + column) * sizeof(half), here * sizeof(half));
  }
}

API void ascend_load(struct ascend_local to, struct ascend_local from, uint32_t first, uint32_t repeats,
                     uint32_t stride, uint32_t gap, int transposed) {
  issue(MTE1, "LoadData", 2 + repeats * 2);
  aligned(to, FRACTAL_BYTES);
  if (from.place != L1 || (to.place != L0A && to.place != L0B))
    fault("loads from L1 to L0A or L0B");
  if (!repeats || repeats > 255)
    fault("repeatTimes is %u, and goes from 1 to 255", repeats);
  for (uint32_t each = 0; each < repeats; ++each) {
    uint64_t source = (uint64_t)(first + each * stride) * FRACTAL_BYTES;
    uint64_t place = (uint64_t)each * (1 + gap) * FRACTAL_BYTES;
    const half *in = (const half *)reads(MTE1, from, source, FRACTAL_BYTES);
    half *out = (half *)writes(MTE1, to, place, FRACTAL_BYTES);
    for (int row = 0; row < FRACTAL; ++row)
      for (int column = 0; column < FRACTAL; ++column)
        out[transposed ? column * FRACTAL + row : row * FRACTAL + column] = in[row * FRACTAL + column];
  }
}

/* ---- The cube: a product of 16 x 16 by 16 x 16 each cycle. L0A has rows of fractals, each of rows of k; L0B rows of
   fractals along k, each of columns of k; L0C columns of fractals, each of rows. */

API void ascend_product(struct ascend_local sums, struct ascend_local a, struct ascend_local b,
                        const struct ascend_local *bias, uint32_t m, uint32_t n, uint32_t k, int is_first) {
  uint32_t fm = m / FRACTAL, fn = n / FRACTAL, fk = k / FRACTAL;
  issue(CUBE, "Mmad", 8 + (double)fm * fn * fk);
  if (sums.place != L0C || a.place != L0A || b.place != L0B || (bias && bias->place != BT))
    fault("multiplies what is in L0A and L0B into L0C, with biases in the bias table");
  if (!m || !n || !k || m % FRACTAL || n % FRACTAL || k % FRACTAL)
    fault("%u x %u x %u are no multiples of %d", m, n, k, FRACTAL);
  if (m > MOST_PRODUCT || n > MOST_PRODUCT || k > MOST_PRODUCT)
    fault("%u x %u x %u is more than %d", m, n, k, MOST_PRODUCT);
  const half *left = (const half *)reads(CUBE, a, 0, (uint64_t)m * k * sizeof *left);
  const half *right = (const half *)reads(CUBE, b, 0, (uint64_t)k * n * sizeof *right);
  uint64_t bytes = (uint64_t)m * n * sizeof(float);
  if (!is_first) {
    const struct memory *memory = &run.memories[sums.place];
    uint32_t written = memory->lines[sums.offset / LINE].written;
    if (fm * fn < FEW_FRACTALS && written > run.barrier[CUBE] && memory->lines[sums.offset / LINE].writer == CUBE)
      fault("no barrier in M before adding to less than %d fractals", FEW_FRACTALS);
    reads(CUBE, sums, 0, bytes);
  }
  const float *start = bias ? (const float *)reads(CUBE, *bias, 0, n * sizeof *start) : NULL;
  float *out = (float *)writes(CUBE, sums, 0, bytes);
  for (uint32_t i = 0; i < fm; ++i)
    for (uint32_t j = 0; j < fn; ++j) {
      float *block = out + ((uint64_t)j * m + i * FRACTAL) * FRACTAL;
      if (is_first)
        for (int row = 0; row < FRACTAL; ++row)
          for (int column = 0; column < FRACTAL; ++column)
            block[row * FRACTAL + column] = start ? start[j * FRACTAL + column] : 0;
      for (uint32_t l = 0; l < fk; ++l) {
        const half *x = left + ((uint64_t)i * fk + l) * FRACTAL * FRACTAL;
        const half *y = right + ((uint64_t)l * fn + j) * FRACTAL * FRACTAL;
        float xs[FRACTAL][FRACTAL], ys[FRACTAL][FRACTAL];
        for (int row = 0; row < FRACTAL; ++row)
          for (int column = 0; column < FRACTAL; ++column) {
            xs[row][column] = (float)x[row * FRACTAL + column];
            ys[column][row] = (float)y[row * FRACTAL + column]; /* [k][n] */
          }
        for (int row = 0; row < FRACTAL; ++row)
          for (int each = 0; each < FRACTAL; ++each)
            for (int column = 0; column < FRACTAL; ++column)
              block[row * FRACTAL + column] += xs[row][each] * ys[each][column];
      }
    }
}

API void ascend_results(uint8_t *to, struct ascend_local sums, uint32_t m, uint32_t n, uint32_t pitch, uint32_t row,
                        int relu) {
  issue(FIX, "Fixpipe", outside((uint64_t)m * n * sizeof(half)));
  if (sums.place != L0C)
    fault("takes results from L0C");
  global(to, ((uint64_t)(m - 1) * row + n) * sizeof(half), 1);
  half *out = (half *)to;
  for (uint32_t column = 0; column < n; column += FRACTAL) {
    uint64_t begin = (uint64_t)(column / FRACTAL) * pitch * FRACTAL * sizeof(float);
    const float *block = (const float *)reads(FIX, sums, begin, (uint64_t)m * FRACTAL * sizeof *block);
    for (uint32_t i = 0; i < m; ++i)
      for (uint32_t j = 0; j < FRACTAL && column + j < n; ++j) {
        float value = block[i * FRACTAL + j];
        out[(uint64_t)i * row + column + j] = (half)(relu && value < 0 ? 0 : value);
      }
  }
}

/* ---- The vector unit: 256 bytes each cycle. */

API void ascend_vector(int operation, struct ascend_local to, struct ascend_local a, struct ascend_local b,
                       float scalar, uint32_t count) {
  static const char *const names[] = {"Add", "Sub", "Mul", "Max", "Adds", "Muls", "Exp"};
  uint64_t bytes = (uint64_t)count * sizeof(float);
  issue(VECTOR, names[operation], 4 + bytes * (operation == EXP ? 4 : 1) / 256.0);
  if (to.place != UB || a.place != UB || b.place != UB)
    fault("works on UB");
  aligned(to, LINE), aligned(a, LINE), aligned(b, LINE);
  const float *left = (const float *)reads(VECTOR, a, 0, bytes);
  const float *right = (const float *)reads(VECTOR, b, 0, bytes);
  float *out = (float *)writes(VECTOR, to, 0, bytes);
  for (uint32_t each = 0; each < count; ++each) {
    float x = left[each], y = right[each];
    switch (operation) {
    case ADD: out[each] = x + y; break;
    case SUB: out[each] = x - y; break;
    case MUL: out[each] = x * y; break;
    case MAX: out[each] = x > y ? x : y; break;
    case ADDS: out[each] = x + scalar; break;
    case MULS: out[each] = x * scalar; break;
    default: out[each] = expf(x);
    }
  }
}

API void ascend_reduce(int operation, struct ascend_local to, struct ascend_local from, struct ascend_local work,
                       uint32_t count) {
  uint64_t bytes = (uint64_t)count * sizeof(float);
  issue(VECTOR, operation == SUM_OF ? "ReduceSum" : "ReduceMax", 12 + 2 * bytes / 256.0);
  if (to.place != UB || from.place != UB || work.place != UB)
    fault("works on UB");
  aligned(to, LINE), aligned(from, LINE), aligned(work, LINE);
  const float *in = (const float *)reads(VECTOR, from, 0, bytes);
  memset(writes(VECTOR, work, 0, (bytes + 255) / 256 * LINE), 0xff, (bytes + 255) / 256 * LINE);
  /* In pairs, as a tree: the hardware's order is not known. */
  float partial[64];
  uint32_t lanes = count < 64 ? count : 64;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    partial[lane] = in[lane];
    for (uint32_t each = lane + 64; each < count; each += 64)
      partial[lane] = operation == SUM_OF ? partial[lane] + in[each] : fmaxf(partial[lane], in[each]);
  }
  for (uint32_t left = lanes; left > 1; left = (left + 1) / 2)
    for (uint32_t each = 0; each < left / 2; ++each) {
      float other = partial[left - 1 - each];
      partial[each] = operation == SUM_OF ? partial[each] + other : fmaxf(partial[each], other);
    }
  memcpy(writes(VECTOR, to, 0, sizeof(float)), partial, sizeof(float));
}

/* ---- A run. */

static int make_memories(void) {
  for (int place = 0; place < PLACES; ++place) {
    uint32_t bytes = run.chip->bytes[place];
    struct memory *memory = &run.memories[place];
    memory->bytes = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memory->written = malloc(bytes);
    memory->lines = malloc((bytes / LINE + 1) * sizeof *memory->lines);
    if (!memory->bytes || !memory->written || !memory->lines)
      return 0;
  }
  return 1;
}

static void begin_core(int64_t block) {
  run.block = block, run.token_count = 0, run.operation = "the kernel";
  memset(run.known, 0, sizeof run.known);
  memset(run.issued, 0, sizeof run.issued);
  memset(run.barrier, 0, sizeof run.barrier);
  memset(run.events, 0, sizeof run.events);
  for (int place = 0; place < PLACES; ++place) {
    struct memory *memory = &run.memories[place];
    uint32_t bytes = run.chip->bytes[place];
    memset(memory->bytes, 0xff, bytes); /* NaN in all types of floating point */
    memset(memory->written, 0, bytes);
    memset(memory->lines, 0, (bytes / LINE + 1) * sizeof *memory->lines);
    for (uint32_t line = 0; line <= bytes / LINE; ++line)
      memory->lines[line].writer = PIPES;
    memory->used = 0;
  }
}

static void end_core(void) {
  run.operation = "the end";
  for (int from = 0; from < PIPES; ++from)
    for (int to = 0; to < PIPES; ++to)
      for (int event = 0; event < EVENTS; ++event)
        if (run.events[from][to][event])
          fault("event %d from %s to %s was set and never waited for", event, PIPE_NAMES[from], PIPE_NAMES[to]);
  for (int pipe = 0; pipe < PIPES; ++pipe)
    if (run.report->cycles < run.known[pipe].cycle)
      run.report->cycles = run.known[pipe].cycle;
}

API int ascend_run(const struct ascend_chip *chip, void (*kernel)(uint8_t **), uint8_t **arguments,
                   const uint64_t *sizes, int count, struct ascend_report *report) {
  memset(&run, 0, sizeof run);
  memset(report, 0, sizeof *report);
  run.chip = chip, run.report = report, run.blocks = chip->blocks;
  run.arguments = arguments, run.sizes = sizes, run.argument_count = count;
  int outcome = make_memories() ? setjmp(run.end) : 2;
  if (!outcome) {
    for (volatile int64_t block = 0; block < chip->blocks; ++block) {
      begin_core(block);
      kernel(arguments);
      end_core();
    }
    double shared = (double)report->global_bytes / chip->global_rate;
    if (report->cycles < shared)
      report->cycles = shared;
  }
  for (int place = 0; place < PLACES; ++place) {
    free(run.memories[place].bytes);
    free(run.memories[place].written);
    free(run.memories[place].lines);
  }
  free(run.tokens);
  return outcome;
}
