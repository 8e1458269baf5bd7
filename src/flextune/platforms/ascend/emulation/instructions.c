#include "core.h"

#include <math.h>
#include <string.h>

/* What the interface says that Mmad and one copy take. */
enum { MOST_PRODUCT = 4095, MOST_COPIED_ROWS = 4095, MOST_COPIED_BYTES = 2097151, MOST_FRACTAL_ROWS = 16384 };
enum { FRACTAL = 16, FRACTAL_BYTES = 512, FEW_FRACTALS = 10 };

typedef _Float16 half;

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
