/* See flextune_model.h and program.h. */
#define _GNU_SOURCE
#include "flextune_model.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interpreter.h"
#include "pool.h"
#include "program.h"
#include "services.h"

enum { HUGE_PAGE_BYTES = 2 << 20, ALIGNMENT_BYTES = 64, ERROR_BYTES = 512 };

struct flextune_model {
  const ft_program *program;
  char *weights, *activations;
  char **staged; /* of inputs, then of outputs: aligned copies, made when first needed */
  char **ports;  /* of inputs, then of outputs: where each is in the present run */
  ft_tensor *tensors;
  ft_any *arguments;
  char **slots;
  int64_t *iterations;
  int owns_weights;
  int threads;
  pthread_mutex_t turn;
  flextune_model *previous, *next; /* of those that are open */
};

static flextune_model *open_models;
static pthread_mutex_t listing = PTHREAD_MUTEX_INITIALIZER; /* guards the list of them */

/* What follows the weights in a model's file (see flextune.apply.saved_library). */
typedef struct __attribute__((packed)) {
  uint32_t checksum;
  uint64_t signature_bytes;
  char magic[16];
} trailer;

static const char MAGIC[] = "flextune-model-2";
static _Thread_local char last_error[ERROR_BYTES];

static int fail(const char *format, const char *what, const char *reason) {
  snprintf(last_error, sizeof last_error, format, what, reason);
  return -1;
}

const char *flextune_last_error(void) { return last_error; }

/* Memory on huge pages where there are any: streaming weights from small ones costs a page walk each 4 KB. */
static char *map_block(int64_t bytes) {
  size_t padded = (size_t)bytes + HUGE_PAGE_BYTES;
  char *block = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)block % HUGE_PAGE_BYTES;
  if (before > 0) munmap(block, before);
  if (HUGE_PAGE_BYTES - before > 0) munmap(block + before + (((size_t)bytes + 4095) & ~(size_t)4095),
                                           padded - before - (((size_t)bytes + 4095) & ~(size_t)4095));
  madvise(block + before, (size_t)bytes, MADV_HUGEPAGE);
  return block + before;
}

static void unmap_block(char *block, int64_t bytes) {
  if (block != NULL) munmap(block, ((size_t)bytes + 4095) & ~(size_t)4095);
}

static int read_fully(int file, char *into, int64_t bytes, int64_t offset) {
  while (bytes > 0) {
    ssize_t done = pread(file, into, (size_t)bytes, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    into += done;
    offset += done;
    bytes -= done;
  }
  return 0;
}

static int read_weights(int file, const char *path, int64_t bytes, char *into) {
  struct stat status;
  trailer end;
  if (fstat(file, &status) != 0) return fail("cannot read %s: %s", path, strerror(errno));
  int64_t at = (int64_t)status.st_size - (int64_t)sizeof end;
  if (at < 0 || read_fully(file, (char *)&end, sizeof end, at) != 0 || memcmp(end.magic, MAGIC, sizeof end.magic) != 0 ||
      (uint64_t)at < end.signature_bytes + (uint64_t)bytes)
    return fail("%s holds no weights: it is truncated or was stripped%s; compile the model again", path, "");
  if (read_fully(file, into, bytes, at - (int64_t)end.signature_bytes - bytes) != 0)
    return fail("cannot read the weights in %s: %s", path, strerror(errno));
  return 0;
}

static int load_weights(flextune_model *model, const char *path) {
  Dl_info self;
  if (model->program->weight_bytes == 0) return 0;
  if (path == NULL && dladdr((const void *)&flextune_open, &self) != 0) path = self.dli_fname;
  if (path == NULL) return fail("cannot find the model's own file%s%s; give its path to flextune_open", "", "");
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail("cannot open %s: %s", path, strerror(errno));
  int status = read_weights(file, path, model->program->weight_bytes, model->weights);
  close(file);
  return status;
}

static void *place_of(const flextune_model *model, const ft_value *value) {
  if (value->place == FT_WEIGHT) return model->weights + value->offset;
  return value->place == FT_ACTIVATION ? model->activations + value->offset : NULL;
}

static void fill_tables(flextune_model *model) {
  const ft_program *program = model->program;
  for (int32_t index = 0; index < program->value_count; ++index) {
    const ft_value *value = &program->values[index];
    ft_tensor tensor = {place_of(model, value), {FT_CPU, 0}, value->rank, value->dtype, value->shape,
                        value->strides, 0};
    model->tensors[index] = tensor;
  }
  for (int32_t index = 0; index < program->argument_count; ++index) {
    ft_any argument = {FT_TENSOR_POINTER, 0, &model->tensors[program->arguments[index]]};
    model->arguments[index] = argument;
  }
}

static int allocate(flextune_model *model, char *weights) {
  const ft_program *program = model->program;
  model->owns_weights = weights == NULL;
  model->weights = weights == NULL && program->weight_bytes > 0 ? map_block(program->weight_bytes) : weights;
  model->activations = program->activation_bytes > 0 ? map_block(program->activation_bytes) : NULL;
  model->tensors = calloc((size_t)program->value_count + 1, sizeof *model->tensors);
  model->arguments = calloc((size_t)program->argument_count + 1, sizeof *model->arguments);
  model->staged = calloc((size_t)(program->input_count + program->output_count) + 1, sizeof *model->staged);
  model->ports = calloc((size_t)(program->input_count + program->output_count) + 1, sizeof *model->ports);
  model->slots = calloc((size_t)program->slot_count + 1, sizeof *model->slots);
  model->iterations = calloc((size_t)program->loop_count + 1, sizeof *model->iterations);
  if ((model->weights == NULL && program->weight_bytes > 0) || model->tensors == NULL || model->arguments == NULL ||
      (model->activations == NULL && program->activation_bytes > 0) || model->staged == NULL ||
      model->ports == NULL || model->slots == NULL || model->iterations == NULL)
    return fail("out of memory%s%s", "", "");
  return 0;
}

static void before_fork(void) { pthread_mutex_lock(&listing); }
static void after_fork(void) { pthread_mutex_unlock(&listing); }

/* Another thread of the parent's may run a model, and is not here to end its turn. */
static void after_fork_in_child(void) {
  pthread_mutex_init(&listing, NULL);
  for (flextune_model *model = open_models; model != NULL; model = model->next) pthread_mutex_init(&model->turn, NULL);
}

static void notice_forks(void) { pthread_atfork(before_fork, after_fork, after_fork_in_child); }

static void enlist(flextune_model *model) {
  static pthread_once_t noticed = PTHREAD_ONCE_INIT;
  pthread_once(&noticed, notice_forks);
  pthread_mutex_lock(&listing);
  model->next = open_models;
  if (open_models != NULL) open_models->previous = model;
  open_models = model;
  pthread_mutex_unlock(&listing);
}

static void delist(flextune_model *model) {
  pthread_mutex_lock(&listing);
  if (model->next != NULL) model->next->previous = model->previous;
  if (model->previous != NULL) model->previous->next = model->next;
  else open_models = model->next;
  pthread_mutex_unlock(&listing);
}

/* As flextune_open; where `weights` is given, they are used where they are and must outlive the model. */
FLEXTUNE_API int ft_open(const char *path, void *weights, flextune_model **opened);

int ft_open(const char *path, void *weights, flextune_model **opened) {
  flextune_model *model = calloc(1, sizeof *model);
  *opened = NULL;
  if (model == NULL) return fail("out of memory%s%s", "", "");
  model->program = &ft_the_program;
  model->threads = ft_the_program.threads;
  pthread_mutex_init(&model->turn, NULL);
  enlist(model);
  if (allocate(model, weights) != 0 || (weights == NULL && load_weights(model, path) != 0)) {
    flextune_close(model);
    return -1;
  }
  ft_provide_services();
  fill_tables(model);
  *opened = model;
  return 0;
}

int flextune_open(const char *path, flextune_model **model) { return ft_open(path, NULL, model); }

void flextune_close(flextune_model *model) {
  if (model == NULL) return;
  if (model->owns_weights) unmap_block(model->weights, model->program->weight_bytes);
  unmap_block(model->activations, model->program->activation_bytes);
  for (int index = 0; model->staged != NULL && index < model->program->input_count + model->program->output_count; ++index)
    free(model->staged[index]);
  free(model->staged);
  free(model->ports);
  free(model->tensors);
  free(model->arguments);
  free(model->slots);
  free(model->iterations);
  delist(model);
  pthread_mutex_destroy(&model->turn);
  free(model);
}

int flextune_input_count(const flextune_model *model) { return model->program->input_count; }
int flextune_output_count(const flextune_model *model) { return model->program->output_count; }
int flextune_threads(const flextune_model *model) { return model->threads; }
size_t flextune_activation_bytes(const flextune_model *model) { return (size_t)model->program->activation_bytes; }
size_t flextune_weight_bytes(const flextune_model *model) { return (size_t)model->program->weight_bytes; }

static int describe(const flextune_model *model, const ft_port *ports, int count, int index, flextune_tensor *tensor) {
  if (index < 0 || index >= count) return fail("no input or output of that number in this model%s%s", "", "");
  const ft_value *value = &model->program->values[ports[index].value];
  flextune_tensor described = {ports[index].name, ports[index].dtype, value->rank, value->shape, (size_t)value->bytes};
  *tensor = described;
  return 0;
}

int flextune_input(const flextune_model *model, int index, flextune_tensor *input) {
  return describe(model, model->program->inputs, model->program->input_count, index, input);
}

int flextune_output(const flextune_model *model, int index, flextune_tensor *output) {
  return describe(model, model->program->outputs, model->program->output_count, index, output);
}

int flextune_set_threads(flextune_model *model, int threads) {
  if (threads < 1 || threads > FT_MAX_THREADS) return fail("threads must be 1 or more, and at most 256%s%s", "", "");
  pthread_mutex_lock(&model->turn);
  model->threads = threads;
  pthread_mutex_unlock(&model->turn);
  return 0;
}

static void *aligned_for(flextune_model *model, int port, void *given, int64_t bytes) {
  if ((uintptr_t)given % ALIGNMENT_BYTES == 0) return given;
  if (model->staged[port] == NULL &&
      posix_memalign((void **)&model->staged[port], ALIGNMENT_BYTES, (size_t)bytes + ALIGNMENT_BYTES) != 0)
    return NULL;
  return model->staged[port];
}

/* Where an input or output is during this run. */
static int set_port(flextune_model *model, int port, const ft_port *described, void *given, int is_input) {
  int64_t bytes = model->program->values[described->value].bytes;
  if (given == NULL && bytes > 0) return fail("a null pointer was given for an %s%s", is_input ? "input" : "output", "");
  if ((model->ports[port] = aligned_for(model, port, given, bytes)) == NULL && bytes > 0)
    return fail("out of memory%s%s", "", "");
  if (is_input && model->ports[port] != given) memcpy(model->ports[port], given, (size_t)bytes);
  return 0;
}

static int set_data(flextune_model *model, const void *const *inputs, void *const *outputs) {
  const ft_program *program = model->program;
  for (int32_t index = 0; index < program->input_count; ++index)
    if (set_port(model, index, &program->inputs[index], (void *)inputs[index], 1) != 0) return -1;
  for (int32_t index = 0; index < program->output_count; ++index)
    if (set_port(model, program->input_count + index, &program->outputs[index], outputs[index], 0) != 0) return -1;
  for (int32_t index = 0; index < program->value_count; ++index) {
    const ft_value *value = &program->values[index];
    if (value->place != FT_INPUT && value->place != FT_OUTPUT) continue;
    char *port = model->ports[value->port + (value->place == FT_INPUT ? 0 : program->input_count)];
    model->tensors[index].data = port == NULL ? NULL : port + value->offset;
  }
  return 0;
}

static void hand_out(const flextune_model *model, void *const *outputs) {
  const ft_program *program = model->program;
  for (int32_t index = 0; index < program->output_count; ++index) {
    int32_t value = program->outputs[index].value;
    if (model->tensors[value].data != outputs[index])
      memcpy(outputs[index], model->tensors[value].data, (size_t)program->values[value].bytes);
  }
}

/* As flextune_run; `spent`, where given, gets what each step took. */
FLEXTUNE_API int ft_run_timed(flextune_model *model, const void *const *inputs, void *const *outputs, ft_spent *spent);

int flextune_run(flextune_model *model, const void *const *inputs, void *const *outputs) {
  return ft_run_timed(model, inputs, outputs, NULL);
}

int ft_run_timed(flextune_model *model, const void *const *inputs, void *const *outputs, ft_spent *spent) {
  pthread_mutex_lock(&model->turn);
  ft_use_threads(model->threads);
  ft_begin_run();
  int status = set_data(model, inputs, outputs);
  ft_run_state state = {model->program, model->tensors, model->arguments, model->slots, model->iterations};
  if (status == 0 && ft_run_steps(&state, spent) != 0) status = fail("a kernel failed: %s%s", ft_kernel_error(), "");
  if (status == 0) hand_out(model, outputs);
  ft_end_run();
  pthread_mutex_unlock(&model->turn);
  return status;
}
