/* Operators that are no loops over tensors of known sizes: how much they give is decided by what they read (NonZero,
 * Compress, Unique, NonMaxSuppression), or they draw random numbers. The caller checks sizes and element types. */
#define _GNU_SOURCE
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))

typedef enum {
  FT_UINT8, /* booleans too */
  FT_INT8,
  FT_UINT16,
  FT_INT16,
  FT_UINT32,
  FT_INT32,
  FT_UINT64,
  FT_INT64,
  FT_FLOAT16,
  FT_BFLOAT16,
  FT_FLOAT32,
  FT_FLOAT64
} ft_kind;

/* The elements that are not 0. NaN is not, -0 is. */

#define FOR_EACH_KIND(kind, DO)                      \
  switch (kind) {                                    \
    case FT_UINT8:                                   \
    case FT_INT8: DO(uint8_t, value != 0) break;     \
    case FT_UINT16:                                  \
    case FT_INT16: DO(uint16_t, value != 0) break;   \
    case FT_UINT32:                                  \
    case FT_INT32: DO(uint32_t, value != 0) break;   \
    case FT_UINT64:                                  \
    case FT_INT64: DO(uint64_t, value != 0) break;   \
    case FT_FLOAT16:                                 \
    case FT_BFLOAT16: DO(uint16_t, (value & 0x7fff) != 0) break; \
    case FT_FLOAT32: DO(float, value != 0) break;    \
    case FT_FLOAT64: DO(double, value != 0) break;   \
  }

API int64_t ft_count_nonzero(const void *data, int32_t kind, int64_t count) {
  int64_t found = 0;
#define COUNT(type, test)                                   \
  for (int64_t index = 0; index < count; ++index) {         \
    type value = ((const type *)data)[index];               \
    found += (test);                                        \
  }
  FOR_EACH_KIND(kind, COUNT)
  return found;
}

/* Where they are, in row-major order: `places` is [rank, found], of a scalar [1, found]. */
API void ft_nonzero(const void *data, int32_t kind, const int64_t *shape, int32_t rank, int64_t found,
                    int64_t *places) {
  int64_t rows = 1, length = rank > 0 ? shape[rank - 1] : 1, at = 0;
  for (int32_t axis = 0; axis < rank - 1; ++axis) rows *= shape[axis];
  for (int64_t row = 0; row < rows && at < found; ++row) {
    int64_t begin = at, left = row;
#define PLACE(type, test)                                          \
  for (int64_t index = 0; index < length && at < found; ++index) { \
    type value = ((const type *)data)[row * length + index];       \
    if (test) places[(rank > 0 ? rank - 1 : 0) * found + at++] = index; \
  }
    FOR_EACH_KIND(kind, PLACE)
    for (int32_t axis = rank - 2; axis >= 0 && at > begin; --axis) {
      int64_t coordinate = left % shape[axis];
      left /= shape[axis];
      for (int64_t index = begin; index < at; ++index) places[axis * found + index] = coordinate;
    }
  }
}

/* Of `outer` times `length` slices of `bytes` each, those whose conditions hold. */
API void ft_compress(const char *data, int64_t outer, int64_t length, int64_t bytes, const uint8_t *conditions,
                     int64_t condition_count, char *result) {
  for (int64_t block = 0; block < outer; ++block, data += length * bytes)
    for (int64_t index = 0; index < condition_count; ++index)
      if (conditions[index]) {
        memcpy(result, data + index * bytes, (size_t)bytes);
        result += bytes;
      }
}

/* Unique: items of `width` elements each are compared element by element; NaN is equal to itself and the largest. */

typedef struct {
  const void *data;
  int32_t kind;
  int64_t width;
} ft_items;

static float of_half(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  float value;
  if (exponent == 0) value = ldexpf((float)fraction, -24);
  else if (exponent == 31) value = fraction ? NAN : INFINITY;
  else value = ldexpf((float)(fraction | 0x400), (int)exponent - 25);
  return sign ? -value : value;
}

static float of_bfloat16(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static int by_value(double a, double b) {
  if (a < b) return -1;
  if (a > b) return 1;
  return (a != a) - (b != b);
}

#define BY_ORDER(type, at, other) \
  ((((const type *)items->data)[at] > ((const type *)items->data)[other]) - (((const type *)items->data)[at] < ((const type *)items->data)[other]))

static int by_element(const ft_items *items, int64_t at, int64_t other) {
  const uint16_t *halves = items->data;
  switch (items->kind) {
    case FT_UINT8: return BY_ORDER(uint8_t, at, other);
    case FT_INT8: return BY_ORDER(int8_t, at, other);
    case FT_UINT16: return BY_ORDER(uint16_t, at, other);
    case FT_INT16: return BY_ORDER(int16_t, at, other);
    case FT_UINT32: return BY_ORDER(uint32_t, at, other);
    case FT_INT32: return BY_ORDER(int32_t, at, other);
    case FT_UINT64: return BY_ORDER(uint64_t, at, other);
    case FT_INT64: return BY_ORDER(int64_t, at, other);
    case FT_FLOAT16: return by_value(of_half(halves[at]), of_half(halves[other]));
    case FT_BFLOAT16: return by_value(of_bfloat16(halves[at]), of_bfloat16(halves[other]));
    case FT_FLOAT32: return by_value(((const float *)items->data)[at], ((const float *)items->data)[other]);
    default: return by_value(((const double *)items->data)[at], ((const double *)items->data)[other]);
  }
}

static int by_item(const ft_items *items, int64_t at, int64_t other) {
  for (int64_t index = 0; index < items->width; ++index) {
    int order = by_element(items, at * items->width + index, other * items->width + index);
    if (order != 0) return order;
  }
  return 0;
}

static int by_item_and_place(const void *a, const void *b, void *items) {
  int64_t at = *(const int64_t *)a, other = *(const int64_t *)b;
  int order = by_item(items, at, other);
  return order != 0 ? order : (at > other) - (at < other);
}

/* The groups in the order in which their first items come. */
static void number_by_place(int64_t count, int64_t groups, int64_t *numbers, int64_t *first, int64_t *inverse,
                            int64_t *counts) {
  int64_t next = 0;
  memset(counts, 0, (size_t)groups * sizeof *counts);
  for (int64_t index = 0; index < count; ++index)
    if (first[inverse[index]] == index) numbers[inverse[index]] = next++;
  for (int64_t index = 0; index < count; ++index) inverse[index] = numbers[inverse[index]];
  for (int64_t index = 0; index < count; ++index)
    if (counts[inverse[index]]++ == 0) first[inverse[index]] = index;
}

/* Returns how many distinct items there are: the places where each comes first, which of them every item is, and how
 * often each comes. `order` and all results have room for `count` numbers. */
API int64_t ft_unique(const void *data, int32_t kind, int64_t count, int64_t width, int32_t sorted, int64_t *order,
                      int64_t *first, int64_t *inverse, int64_t *counts) {
  ft_items items = {data, kind, width};
  int64_t groups = 0;
  for (int64_t index = 0; index < count; ++index) order[index] = index;
  qsort_r(order, (size_t)count, sizeof *order, by_item_and_place, &items);
  for (int64_t index = 0; index < count; ++index) {
    if (index == 0 || by_item(&items, order[index - 1], order[index]) != 0) {
      first[groups] = order[index];
      counts[groups++] = 0;
    }
    inverse[order[index]] = groups - 1;
    ++counts[groups - 1];
  }
  if (!sorted) number_by_place(count, groups, order, first, inverse, counts);
  return groups;
}

/* NonMaxSuppression: boxes of one class by falling scores, equal ones by their places; each is selected unless it
 * overlaps one that was. In float32 operations in ONNX Runtime's order, so that close cases are decided alike. */

typedef struct {
  float low_x, high_x, low_y, high_y;
} ft_box;

typedef struct {
  float score;
  int64_t box;
} ft_candidate;

static void in_order(float one, float other, float *low, float *high) {
  *low = one >= other ? other : one;
  *high = one >= other ? one : other;
}

static ft_box box_at(const float *corners, int32_t is_centre) {
  ft_box box;
  if (is_centre) {
    float half_width = corners[2] / 2, half_height = corners[3] / 2;
    box.low_x = corners[0] - half_width;
    box.high_x = corners[0] + half_width;
    box.low_y = corners[1] - half_height;
    box.high_y = corners[1] + half_height;
  } else {
    in_order(corners[1], corners[3], &box.low_x, &box.high_x);
    in_order(corners[0], corners[2], &box.low_y, &box.high_y);
  }
  return box;
}

static float larger(float a, float b) { return a < b ? b : a; }
static float smaller(float a, float b) { return b < a ? b : a; }

static int overlaps(const ft_box *one, const ft_box *other, float most) {
  float low_x = larger(one->low_x, other->low_x), high_x = smaller(one->high_x, other->high_x);
  if (high_x <= low_x) return 0;
  float low_y = larger(one->low_y, other->low_y), high_y = smaller(one->high_y, other->high_y);
  if (high_y <= low_y) return 0;
  float shared = (high_x - low_x) * (high_y - low_y);
  float first = (one->high_x - one->low_x) * (one->high_y - one->low_y);
  float second = (other->high_x - other->low_x) * (other->high_y - other->low_y);
  float all = first + second - shared;
  if (shared <= 0 || first <= 0 || second <= 0 || all <= 0) return 0;
  return shared / all > most;
}

static int comes_before(const ft_candidate *a, const ft_candidate *b) {
  return a->score > b->score || (a->score == b->score && a->box < b->box);
}

/* Restores a heap whose element number `at` may come later than those below it. */
static void sink(ft_candidate *heap, int64_t count, int64_t at) {
  ft_candidate moved = heap[at];
  for (int64_t below; (below = 2 * at + 1) < count; at = below) {
    if (below + 1 < count && comes_before(&heap[below + 1], &heap[below])) ++below;
    if (!comes_before(&heap[below], &moved)) break;
    heap[at] = heap[below];
  }
  heap[at] = moved;
}

static int64_t select_boxes(const ft_box *boxes, ft_candidate *heap, int64_t count, int64_t most, float overlap,
                            int64_t *chosen) {
  int64_t found = 0;
  for (int64_t at = count / 2 - 1; at >= 0; --at) sink(heap, count, at);
  while (count > 0 && found < most) {
    int64_t best = heap[0].box, other = 0;
    heap[0] = heap[--count];
    sink(heap, count, 0);
    while (other < found && !overlaps(&boxes[best], &boxes[chosen[other]], overlap)) ++other;
    if (other == found) chosen[found++] = best;
  }
  return found;
}

/* boxes: [batches, count, 4], scores: [batches, classes, count]. `selected` has room for batches * classes *
 * min(most, count) triples of batch, class and box; returns how many there are, -1 without memory. Without a
 * `threshold` all boxes are candidates. */
API int64_t ft_non_max_suppression(const float *boxes, const float *scores, int64_t batches, int64_t classes,
                                   int64_t count, int32_t is_centre, int64_t most, float overlap,
                                   const float *threshold, int64_t *selected) {
  int64_t room = most < count ? most : count, total = 0;
  ft_box *normal = malloc(((size_t)count + 1) * sizeof *normal);
  ft_candidate *heap = malloc(((size_t)count + 1) * sizeof *heap);
  int64_t *chosen = malloc(((size_t)room + 1) * sizeof *chosen);
  int is_ready = normal != NULL && heap != NULL && chosen != NULL;
  for (int64_t batch = 0; is_ready && batch < batches; ++batch) {
    for (int64_t box = 0; box < count; ++box) normal[box] = box_at(boxes + (batch * count + box) * 4, is_centre);
    for (int64_t class = 0; class < classes; ++class) {
      const float *own = scores + (batch * classes + class) * count;
      int64_t candidates = 0;
      for (int64_t box = 0; box < count; ++box)
        if (threshold == NULL || own[box] > *threshold) heap[candidates++] = (ft_candidate){own[box], box};
      int64_t found = select_boxes(normal, heap, candidates, room, overlap, chosen);
      for (int64_t index = 0; index < found; ++index) {
        selected[3 * total] = batch;
        selected[3 * total + 1] = class;
        selected[3 * total++ + 2] = chosen[index];
      }
    }
  }
  free(normal);
  free(heap);
  free(chosen);
  return is_ready ? total : -1;
}

/* Random numbers: xoshiro256++ (Blackman and Vigna, 2019), its state filled by splitmix64. */

static uint64_t rotated(uint64_t bits, int by) { return bits << by | bits >> (64 - by); }

API void ft_seed(uint64_t seed, uint64_t *state) {
  for (int index = 0; index < 4; ++index) {
    uint64_t mixed = seed += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    state[index] = mixed ^ mixed >> 31;
  }
}

static double drawn(uint64_t *state) {
  uint64_t bits = rotated(state[0] + state[3], 23) + state[0], shifted = state[1] << 17;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotated(state[3], 45);
  return (double)(bits >> 11) * 0x1p-53;
}

/* In [0, 1). */
API void ft_uniform(uint64_t *state, int64_t count, double *result) {
  for (int64_t index = 0; index < count; ++index) result[index] = drawn(state);
}

/* Of mean 0 and deviation 1 (Box and Muller, 1958). */
API void ft_normal(uint64_t *state, int64_t count, double *result) {
  for (int64_t index = 0; index < count; index += 2) {
    double distance = sqrt(-2 * log(1 - drawn(state))), angle = 2 * 3.14159265358979323846 * drawn(state);
    result[index] = distance * cos(angle);
    if (index + 1 < count) result[index + 1] = distance * sin(angle);
  }
}

/* For each of `rows` rows `samples` classes, by the logarithms of what they are weighted with. `sums` has room for
 * `classes` numbers. */
API void ft_multinomial(uint64_t *state, const double *logarithms, int64_t rows, int64_t classes, int64_t samples,
                        double *sums, int64_t *result) {
  for (int64_t row = 0; row < rows; ++row, logarithms += classes) {
    double most = -INFINITY, sum = 0;
    for (int64_t index = 0; index < classes; ++index) most = fmax(most, logarithms[index]);
    for (int64_t index = 0; index < classes; ++index) sums[index] = sum += exp(logarithms[index] - most);
    for (int64_t sample = 0; sample < samples; ++sample) {
      double wanted = drawn(state) * sum;
      int64_t low = 0, high = classes - 1;
      while (low < high) {
        int64_t middle = (low + high) / 2;
        if (sums[middle] > wanted) high = middle;
        else low = middle + 1;
      }
      *result++ = low;
    }
  }
}
