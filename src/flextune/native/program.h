/* What a compiled model is, as tables that are generated for it (see flextune.apply.program_text). */
#ifndef FLEXTUNE_PROGRAM_H_
#define FLEXTUNE_PROGRAM_H_

#include <stddef.h>
#include <stdint.h>

/* The parts of TVM-FFI's stable C interface that kernels are called by (tvm/ffi/c_api.h, dlpack.h). */
typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} ft_dtype;

typedef struct {
  void *data;
  struct {
    int32_t type;
    int32_t id;
  } device;
  int32_t rank;
  ft_dtype dtype;
  const int64_t *shape;
  const int64_t *strides;
  uint64_t byte_offset;
} ft_tensor;

typedef struct {
  int32_t type;
  uint32_t padding;
  _Alignas(8) void *pointer; /* so that it has 16 bytes on processors with short addresses too */
} ft_any;

typedef int (*ft_kernel)(void *self, const ft_any *arguments, int32_t count, ft_any *result);

enum { FT_CPU = 1, FT_INTEGER = 1, FT_TENSOR_POINTER = 7 };

typedef enum { FT_INPUT, FT_OUTPUT, FT_WEIGHT, FT_ACTIVATION, FT_SLOT, FT_SIZES } ft_place;

/* A tensor: `offset` bytes into the weights, the activations, the input or output of number `port`, what the slot of
 * that number points to, which a loop changes, or the numbers of a form (symbolic.h). `strides`, in elements, is null
 * where it lies densely. */
typedef struct {
  ft_place place;
  int32_t port;
  int64_t offset;
  int64_t bytes;
  ft_dtype dtype;
  int32_t rank;
  const int64_t *shape;
  const int64_t *strides;
} ft_value;

/* What a step does: call `kernel` with the values whose numbers begin at `first` in the list of arguments; copy the first
 * argument to the second; begin loop number `target`; go on with it; go to step `target`, in any case or unless the first
 * argument, a boolean, is true. */
typedef enum { FT_CALL, FT_COPY, FT_LOOP, FT_NEXT, FT_JUMP, FT_UNLESS } ft_kind;

typedef struct {
  ft_kind kind;
  ft_kernel kernel;
  int32_t first;
  int32_t count;
  int32_t target;
  int32_t alone; /* whether one thread runs the kernel: it ends before others would have begun */
} ft_step;

/* What happens to a slot before each iteration, which is number i:
 * - FT_SLICE: it points `start + i * stride` bytes into `value`;
 * - FT_TURN: it points to `value` and `other` in turns;
 * - FT_CARRIED: it points to `value` before the first iteration, then to where slot `other` pointed in the last one. When
 *   the loop ends, what it would point to next is copied to the value `result`, unless that is negative;
 * - FT_COUNTER: i is written to `value`, and there is no slot. */
typedef enum { FT_SLICE, FT_TURN, FT_CARRIED, FT_COUNTER } ft_change;

typedef struct {
  ft_change change;
  int32_t slot;
  int32_t value;
  int32_t other;
  int32_t result;
  int64_t start;
  int64_t stride;
} ft_move;

/* A loop over the steps from `body` to before `end`, the last of which goes on with it. There are at most `limit`
 * iterations, at most as many as the value `count` says, none unless `enter` is true, and after each of them no more
 * unless `again` is; these three are numbers of values, and negative where nothing is asked. `moved` lists the values in
 * its slots. */
typedef struct {
  int64_t limit;
  int32_t body, end;
  int32_t count, enter, again;
  int32_t move_count, moved_count;
  const ft_move *moves;
  const int32_t *moved;
} ft_loop;

/* Name and element type of an input or output, and the number of its value. */
typedef struct {
  const char *name;
  const char *dtype;
  int32_t value;
} ft_port;

typedef struct ft_symbolic ft_symbolic;

/* `symbolic` is null in a program whose sizes are all known. In others it says what the runs of each combination of
 * sizes need: see symbolic.h. */
typedef struct {
  const ft_value *values;
  const ft_step *steps;
  const int32_t *arguments;
  const ft_port *inputs;
  const ft_port *outputs;
  const ft_loop *loops;
  int32_t value_count, step_count, argument_count, input_count, output_count, loop_count, slot_count;
  int64_t weight_bytes;
  int64_t activation_bytes;
  int32_t threads;
  const ft_symbolic *symbolic;
} ft_program;

extern const ft_program ft_the_program __attribute__((visibility("hidden")));

#endif
