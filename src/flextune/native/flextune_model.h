/* A model compiled by flextune, for C and C++.
 *
 * The library that `flextune compile MODEL.onnx -o model.so` writes holds the model's code, its weights, and these
 * functions. It needs a C library and nothing else: no Python, no TVM.
 *
 *     cc main.c -L. -l:model.so -Wl,-rpath,'$ORIGIN' -lm -o main
 *
 * To use several models in one program, dlopen() each with RTLD_LOCAL and look the functions up with dlsym().
 *
 * Functions that return int give 0 when all went well and -1 when not; flextune_last_error() then says why.
 * A model may be used from several threads; its runs take turns.
 */
#ifndef FLEXTUNE_MODEL_H_
#define FLEXTUNE_MODEL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FLEXTUNE_API __attribute__((visibility("default")))
#else
#define FLEXTUNE_API
#endif

typedef struct flextune_model flextune_model;

/* An input or an output. Elements lie densely in row-major order. The strings and the shape belong to the library.
 * A size that differs from run to run is -1 in the shape; `bytes` is then that of the largest sizes. */
typedef struct {
  const char *name;
  const char *dtype; /* as in NumPy: "float32", "int64", "bool", ... */
  int32_t rank;
  const int64_t *shape; /* `rank` sizes */
  size_t bytes;
} flextune_tensor;

/* Opens the model and reads its weights. `path` is the library's own file, or NULL to have it found. */
FLEXTUNE_API int flextune_open(const char *path, flextune_model **model);

/* Gives back the model's memory. No run may be under way. */
FLEXTUNE_API void flextune_close(flextune_model *model);

FLEXTUNE_API int flextune_input_count(const flextune_model *model);
FLEXTUNE_API int flextune_output_count(const flextune_model *model);
FLEXTUNE_API int flextune_input(const flextune_model *model, int index, flextune_tensor *input);
FLEXTUNE_API int flextune_output(const flextune_model *model, int index, flextune_tensor *output);

/* Runs the model: reads inputs[i] and writes outputs[i], in the order of their indices. Pointers to multiples of 64
 * bytes are used in place, others through a copy. */
FLEXTUNE_API int flextune_run(flextune_model *model, const void *const *inputs, void *const *outputs);

/* A dimension of the inputs that differs from run to run: multiples of `multiple` from `least` to `most`. */
typedef struct {
  const char *name;
  int64_t least, most, multiple;
} flextune_dim;

FLEXTUNE_API int flextune_dim_count(const flextune_model *model);
FLEXTUNE_API int flextune_dim_at(const flextune_model *model, int index, flextune_dim *dim);

/* As flextune_run, on inputs of these shapes; input_shapes[i] has as many sizes as the rank of input i. Sizes that are
 * new take the time to plan memory for them, those of the latest runs do not. The shapes of the outputs are what
 * flextune_output_shapes writes into output_shapes[i], which has room for the rank of output i. */
FLEXTUNE_API int flextune_run_shapes(flextune_model *model, const void *const *inputs,
                                     const int64_t *const *input_shapes, void *const *outputs);
FLEXTUNE_API int flextune_output_shapes(flextune_model *model, const int64_t *const *input_shapes,
                                        int64_t *const *output_shapes);

/* The number of threads of a run, the calling one included. */
FLEXTUNE_API int flextune_threads(const flextune_model *model);
FLEXTUNE_API int flextune_set_threads(flextune_model *model, int threads);

/* Bytes of the block that holds everything between inputs and outputs during a run; it grows with the sizes of runs. */
FLEXTUNE_API size_t flextune_activation_bytes(const flextune_model *model);
FLEXTUNE_API size_t flextune_weight_bytes(const flextune_model *model);

/* What went wrong in the last call of this thread that failed; "" before any did. */
FLEXTUNE_API const char *flextune_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
