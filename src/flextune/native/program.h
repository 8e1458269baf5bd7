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
  void *pointer;
} ft_any;

typedef int (*ft_kernel)(void *self, const ft_any *arguments, int32_t count, ft_any *result);

enum { FT_CPU = 1, FT_TENSOR_POINTER = 7 };

typedef enum { FT_INPUT, FT_OUTPUT, FT_WEIGHT, FT_ACTIVATION } ft_place;

/* A tensor: `offset` bytes into the weights, the activations, or the input or output of number `port`. `strides`, in
 * elements, is null where it lies densely. */
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

/* A call of `kernel` with the values whose numbers begin at `first` in the list of arguments. Without a kernel, the first
 * argument is copied to the second. */
typedef struct {
  ft_kernel kernel;
  int32_t first;
  int32_t count;
} ft_step;

/* Name and element type of an input or output, and the number of its value. */
typedef struct {
  const char *name;
  const char *dtype;
  int32_t value;
} ft_port;

typedef struct {
  const ft_value *values;
  const ft_step *steps;
  const int32_t *arguments;
  const ft_port *inputs;
  const ft_port *outputs;
  int32_t value_count, step_count, argument_count, input_count, output_count;
  int64_t weight_bytes;
  int64_t activation_bytes;
  int32_t threads;
} ft_program;

extern const ft_program ft_the_program __attribute__((visibility("hidden")));

#endif
