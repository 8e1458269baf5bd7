/* Runs a model that `flextune compile MODEL.onnx -o model.so --header` wrote: no Python, no TVM.
 *
 *     cc main.c -L. -l:model.so -Wl,-rpath,'$ORIGIN' -lm -o main && ./main [THREADS] [RUNS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flextune_model.h"

static void check(int status) {
  if (status == 0) return;
  fprintf(stderr, "%s\n", flextune_last_error());
  exit(1);
}

static void describe(const char *what, const flextune_tensor *tensor) {
  printf("%s %s: %s[", what, tensor->name, tensor->dtype);
  for (int axis = 0; axis < tensor->rank; ++axis) printf("%s%lld", axis ? ", " : "", (long long)tensor->shape[axis]);
  printf("], %zu bytes\n", tensor->bytes);
}

/* Memory for a tensor: a multiple of 64 bytes, at a multiple of 64 bytes, so that the model uses it in place. */
static void *memory_for(const flextune_tensor *tensor) {
  void *memory = aligned_alloc(64, (tensor->bytes + 63) / 64 * 64 + 64);
  if (memory == NULL) exit(1);
  memset(memory, 0, tensor->bytes);
  return memory;
}

/* Floating-point inputs count up from 0 to 1; others are 0. */
static void fill(const flextune_tensor *tensor, void *memory) {
  if (strcmp(tensor->dtype, "float32") != 0) return;
  size_t count = tensor->bytes / sizeof(float);
  for (size_t index = 0; index < count; ++index) ((float *)memory)[index] = (float)index / (float)count;
}

static void print_first(const flextune_tensor *tensor, const void *memory) {
  if (strcmp(tensor->dtype, "float32") != 0) return;
  for (size_t index = 0; index < 5 && index < tensor->bytes / sizeof(float); ++index)
    printf("%s%.9g", index ? " " : "", ((const float *)memory)[index]);
  printf("\n");
}

static double seconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int count, char **arguments) {
  flextune_model *model;
  const void *inputs[16];
  void *outputs[16];
  flextune_tensor tensor;
  int runs = count > 2 ? atoi(arguments[2]) : 10;

  check(flextune_open(NULL, &model));
  if (count > 1) check(flextune_set_threads(model, atoi(arguments[1])));
  for (int index = 0; index < flextune_input_count(model); ++index) {
    check(flextune_input(model, index, &tensor));
    describe("input", &tensor);
    void *memory = memory_for(&tensor);
    fill(&tensor, memory);
    inputs[index] = memory;
  }
  for (int index = 0; index < flextune_output_count(model); ++index) {
    check(flextune_output(model, index, &tensor));
    describe("output", &tensor);
    outputs[index] = memory_for(&tensor);
  }

  check(flextune_run(model, inputs, outputs));
  double begin = seconds();
  for (int run = 0; run < runs; ++run) check(flextune_run(model, inputs, outputs));
  double run_secs = (seconds() - begin) / (runs > 0 ? runs : 1);

  for (int index = 0; index < flextune_output_count(model); ++index) {
    check(flextune_output(model, index, &tensor));
    print_first(&tensor, outputs[index]);
    free(outputs[index]);
  }
  for (int index = 0; index < flextune_input_count(model); ++index) free((void *)inputs[index]);
  printf("%.3f ms with %d threads, %.1f MB of weights, %.1f MB between\n", run_secs * 1e3, flextune_threads(model),
         (double)flextune_weight_bytes(model) * 1e-6, (double)flextune_activation_bytes(model) * 1e-6);
  flextune_close(model);
  return 0;
}
