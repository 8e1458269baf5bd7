/* See flextune_model.h and program.h. */
#define _GNU_SOURCE
#include "flextune_model.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blocks.h"
#include "failure.h"
#include "interpreter.h"
#include "pool.h"
#include "program.h"
#include "services.h"
#include "symbolic.h"

enum { ALIGNMENT_BYTES = 64, ERROR_BYTES = 512 };

struct flextune_model {
  const ft_program *program;
  char *weights, *activations;
  int64_t activation_bytes; /* of the block; more than any run needed where sizes differ from run to run */
  char **staged; /* of inputs, then of outputs: aligned copies, made when first needed */
  int64_t *staged_bytes;
  char **ports;    /* of inputs, then of outputs: where each is in the present run */
  ft_form own;     /* of a program whose sizes are known */
  ft_forms *forms; /* of others */
  char **slots;
  int64_t *iterations;
  int owns_weights;
  int threads;
  pthread_mutex_t turn;
  flextune_model *previous, *next; /* of those that are open */
};

static flextune_model *open_models;
static pthread_mutex_t listing = PTHREAD_MUTEX_INITIALIZER; /* guards the list of them */

static _Thread_local char last_error[ERROR_BYTES];

int ft_fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(last_error, sizeof last_error, format, values);
  va_end(values);
  return -1;
}

const char *flextune_last_error(void) { return last_error; }

static int load_weights(flextune_model *model, const char *path) {
  Dl_info self;
  if (model->program->weight_bytes == 0) return 0;
  if (path == NULL && dladdr((const void *)&flextune_open, &self) != 0) path = self.dli_fname;
  if (path == NULL) return ft_fail("cannot find the model's own file; give its path to flextune_open");
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return ft_fail("cannot open %s: %s", path, strerror(errno));
  int status = ft_read_weights(file, path, model->program->weight_bytes, model->weights);
  close(file);
  return status;
}

static void *place_of(const flextune_model *model, const ft_form *form, const ft_value *value) {
  if (value->place == FT_SIZES) return (char *)form->numbers + value->offset;
  if (value->place == FT_WEIGHT) return model->weights + value->offset;
  return value->place == FT_ACTIVATION ? model->activations + value->offset : NULL;
}

/* Points the tensors to where weights and activations are now. */
static void point(const flextune_model *model, ft_form *form) {
  for (int32_t index = 0; index < form->program.value_count; ++index) {
    const ft_value *value = &form->program.values[index];
    ft_tensor tensor = {place_of(model, form, value), {FT_CPU, 0}, value->rank, value->dtype, value->shape,
                        value->strides, 0};
    form->tensors[index] = tensor;
  }
  form->activations = model->activations;
}

static void fill_own(flextune_model *model) {
  model->own.program = *model->program;
  point(model, &model->own);
  for (int32_t index = 0; index < model->program->argument_count; ++index) {
    ft_any argument = {FT_TENSOR_POINTER, 0, &model->own.tensors[model->program->arguments[index]]};
    model->own.arguments[index] = argument;
  }
}

static int allocate_tables(flextune_model *model) {
  const ft_program *program = model->program;
  size_t ports = (size_t)(program->input_count + program->output_count) + 1;
  model->staged = calloc(ports, sizeof *model->staged);
  model->staged_bytes = calloc(ports, sizeof *model->staged_bytes);
  model->ports = calloc(ports, sizeof *model->ports);
  model->slots = calloc((size_t)program->slot_count + 1, sizeof *model->slots);
  model->iterations = calloc((size_t)program->loop_count + 1, sizeof *model->iterations);
  if (model->staged == NULL || model->staged_bytes == NULL || model->ports == NULL || model->slots == NULL ||
      model->iterations == NULL)
    return -1;
  if (program->symbolic != NULL) return (model->forms = program->symbolic->open(program)) == NULL ? -1 : 0;
  model->own.tensors = calloc((size_t)program->value_count + 1, sizeof *model->own.tensors);
  model->own.arguments = calloc((size_t)program->argument_count + 1, sizeof *model->own.arguments);
  return model->own.tensors == NULL || model->own.arguments == NULL ? -1 : 0;
}

/* Makes the block of the activations at least so large; what is in it is lost. */
static int make_room(flextune_model *model, int64_t bytes) {
  if (bytes <= model->activation_bytes) return 0;
  if (model->activation_bytes > 0 && bytes < model->activation_bytes + model->activation_bytes / 2)
    bytes = model->activation_bytes + model->activation_bytes / 2; /* sizes that grow from run to run */
  ft_unmap_block(model->activations, model->activation_bytes);
  model->activations = ft_map_block(bytes);
  model->activation_bytes = model->activations == NULL ? 0 : bytes;
  return model->activations == NULL ? ft_fail("out of memory") : 0;
}

static int allocate(flextune_model *model, char *weights) {
  const ft_program *program = model->program;
  model->owns_weights = weights == NULL;
  model->weights = weights == NULL && program->weight_bytes > 0 ? ft_map_block(program->weight_bytes) : weights;
  if ((model->weights == NULL && program->weight_bytes > 0) || allocate_tables(model) != 0)
    return ft_fail("out of memory");
  return make_room(model, program->activation_bytes);
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
  if (model == NULL) return ft_fail("out of memory");
  model->program = &ft_the_program;
  model->threads = ft_the_program.threads;
  pthread_mutex_init(&model->turn, NULL);
  enlist(model);
  if (allocate(model, weights) != 0 || (weights == NULL && load_weights(model, path) != 0)) {
    flextune_close(model);
    return -1;
  }
  ft_provide_services();
  if (model->forms == NULL) fill_own(model);
  *opened = model;
  return 0;
}

int flextune_open(const char *path, flextune_model **model) { return ft_open(path, NULL, model); }

void flextune_close(flextune_model *model) {
  if (model == NULL) return;
  if (model->owns_weights) ft_unmap_block(model->weights, model->program->weight_bytes);
  ft_unmap_block(model->activations, model->activation_bytes);
  for (int index = 0; model->staged != NULL && index < model->program->input_count + model->program->output_count; ++index)
    free(model->staged[index]);
  free(model->staged);
  free(model->staged_bytes);
  free(model->ports);
  free(model->own.tensors);
  free(model->own.arguments);
  if (model->forms != NULL) model->program->symbolic->close(model->forms);
  free(model->slots);
  free(model->iterations);
  delist(model);
  pthread_mutex_destroy(&model->turn);
  free(model);
}

int flextune_input_count(const flextune_model *model) { return model->program->input_count; }
int flextune_output_count(const flextune_model *model) { return model->program->output_count; }
int flextune_threads(const flextune_model *model) { return model->threads; }
size_t flextune_activation_bytes(const flextune_model *model) { return (size_t)model->activation_bytes; }
size_t flextune_weight_bytes(const flextune_model *model) { return (size_t)model->program->weight_bytes; }

static int describe(const flextune_model *model, const ft_port *ports, int count, int index, flextune_tensor *tensor) {
  if (index < 0 || index >= count) return ft_fail("no input or output of that number in this model");
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

int flextune_dim_count(const flextune_model *model) {
  return model->program->symbolic == NULL ? 0 : model->program->symbolic->symbol_count;
}

int flextune_dim_at(const flextune_model *model, int index, flextune_dim *dim) {
  if (index < 0 || index >= flextune_dim_count(model)) return ft_fail("no dimension of that number in this model");
  const ft_symbol *symbol = &model->program->symbolic->symbols[index];
  flextune_dim described = {symbol->name, symbol->least, symbol->most, symbol->multiple};
  *dim = described;
  return 0;
}

int flextune_set_threads(flextune_model *model, int threads) {
  if (threads < 1 || threads > FT_MAX_THREADS) return ft_fail("threads must be 1 or more, and at most 256");
  pthread_mutex_lock(&model->turn);
  model->threads = threads;
  pthread_mutex_unlock(&model->turn);
  return 0;
}

/* The shapes must be those of a model whose sizes are known. */
static int check_shapes(const ft_program *program, const int64_t *const *shapes) {
  for (int32_t input = 0; shapes != NULL && input < program->input_count; ++input) {
    const ft_value *value = &program->values[program->inputs[input].value];
    for (int32_t axis = 0; axis < value->rank; ++axis)
      if (shapes[input][axis] != value->shape[axis])
        return ft_fail("input '%s', axis %d: %lld is given, expected %lld", program->inputs[input].name, axis,
                       (long long)shapes[input][axis], (long long)value->shape[axis]);
  }
  return 0;
}

/* The program for inputs of these shapes; NULL where the model does not take them. */
static ft_form *form_of(flextune_model *model, const int64_t *const *shapes) {
  if (model->forms == NULL) return check_shapes(model->program, shapes) == 0 ? &model->own : NULL;
  if (shapes != NULL) return model->program->symbolic->find(model->forms, shapes);
  ft_fail("the sizes of this model's inputs differ from run to run: give them to flextune_run_shapes");
  return NULL;
}

/* Lets all that the program computes lie in the block of the activations. */
static int place(flextune_model *model, ft_form *form) {
  if (make_room(model, form->program.activation_bytes) != 0) return -1;
  if (form->activations != model->activations || form->activations == NULL) point(model, form);
  return 0;
}

static void *aligned_for(flextune_model *model, int port, void *given, int64_t bytes) {
  if ((uintptr_t)given % ALIGNMENT_BYTES == 0) return given;
  if (model->staged[port] != NULL && model->staged_bytes[port] >= bytes) return model->staged[port];
  free(model->staged[port]);
  model->staged[port] = NULL;
  model->staged_bytes[port] = bytes;
  if (posix_memalign((void **)&model->staged[port], ALIGNMENT_BYTES, (size_t)bytes + ALIGNMENT_BYTES) != 0) return NULL;
  return model->staged[port];
}

/* Where an input or output is during this run. */
static int set_port(flextune_model *model, int port, int64_t bytes, void *given, int is_input) {
  if (given == NULL && bytes > 0) return ft_fail("a null pointer was given for an %s", is_input ? "input" : "output");
  if ((model->ports[port] = aligned_for(model, port, given, bytes)) == NULL && bytes > 0)
    return ft_fail("out of memory");
  if (is_input && model->ports[port] != given) memcpy(model->ports[port], given, (size_t)bytes);
  return 0;
}

static int set_data(flextune_model *model, ft_form *form, const void *const *inputs, void *const *outputs) {
  const ft_program *program = &form->program;
  for (int32_t index = 0; index < program->input_count; ++index)
    if (set_port(model, index, program->values[program->inputs[index].value].bytes, (void *)inputs[index], 1) != 0)
      return -1;
  for (int32_t index = 0; index < program->output_count; ++index)
    if (set_port(model, program->input_count + index, program->values[program->outputs[index].value].bytes,
                 outputs[index], 0) != 0)
      return -1;
  for (int32_t index = 0; index < program->value_count; ++index) {
    const ft_value *value = &program->values[index];
    if (value->place != FT_INPUT && value->place != FT_OUTPUT) continue;
    char *port = model->ports[value->port + (value->place == FT_INPUT ? 0 : program->input_count)];
    form->tensors[index].data = port == NULL ? NULL : port + value->offset;
  }
  return 0;
}

static void hand_out(const ft_form *form, void *const *outputs) {
  for (int32_t index = 0; index < form->program.output_count; ++index) {
    int32_t value = form->program.outputs[index].value;
    if (form->tensors[value].data != outputs[index])
      memcpy(outputs[index], form->tensors[value].data, (size_t)form->program.values[value].bytes);
  }
}

static int run_form(flextune_model *model, ft_form *form, const void *const *inputs, void *const *outputs,
                    ft_spent *spent) {
  if (place(model, form) != 0 || set_data(model, form, inputs, outputs) != 0) return -1;
  ft_run_state state = {&form->program, form->tensors, form->arguments, model->slots, model->iterations};
  if (ft_run_steps(&state, spent) != 0) return ft_fail("a kernel failed: %s", ft_kernel_error());
  hand_out(form, outputs);
  return 0;
}

/* As flextune_run_shapes and flextune_run; `spent`, where given, gets what each step took. */
FLEXTUNE_API int ft_run_shapes_timed(flextune_model *model, const void *const *inputs, const int64_t *const *shapes,
                                     void *const *outputs, ft_spent *spent);
FLEXTUNE_API int ft_run_timed(flextune_model *model, const void *const *inputs, void *const *outputs, ft_spent *spent);

int ft_run_shapes_timed(flextune_model *model, const void *const *inputs, const int64_t *const *shapes,
                        void *const *outputs, ft_spent *spent) {
  pthread_mutex_lock(&model->turn);
  ft_use_threads(model->threads);
  ft_begin_run();
  ft_form *form = form_of(model, shapes);
  int status = form == NULL ? -1 : run_form(model, form, inputs, outputs, spent);
  ft_end_run();
  pthread_mutex_unlock(&model->turn);
  return status;
}

int ft_run_timed(flextune_model *model, const void *const *inputs, void *const *outputs, ft_spent *spent) {
  return ft_run_shapes_timed(model, inputs, NULL, outputs, spent);
}

int flextune_run(flextune_model *model, const void *const *inputs, void *const *outputs) {
  return ft_run_shapes_timed(model, inputs, NULL, outputs, NULL);
}

int flextune_run_shapes(flextune_model *model, const void *const *inputs, const int64_t *const *input_shapes,
                        void *const *outputs) {
  return ft_run_shapes_timed(model, inputs, input_shapes, outputs, NULL);
}

/* What a run on inputs of these shapes needs for what is between inputs and outputs; -1 where the model cannot be run
 * on them. */
FLEXTUNE_API int64_t ft_bytes_for(flextune_model *model, const int64_t *const *input_shapes);

int64_t ft_bytes_for(flextune_model *model, const int64_t *const *input_shapes) {
  pthread_mutex_lock(&model->turn);
  ft_form *form = form_of(model, input_shapes);
  int64_t bytes = form == NULL ? -1 : form->program.activation_bytes;
  pthread_mutex_unlock(&model->turn);
  return bytes;
}

int flextune_output_shapes(flextune_model *model, const int64_t *const *input_shapes, int64_t *const *output_shapes) {
  pthread_mutex_lock(&model->turn);
  ft_form *form = form_of(model, input_shapes);
  for (int32_t index = 0; form != NULL && index < form->program.output_count; ++index) {
    const ft_value *value = &form->program.values[form->program.outputs[index].value];
    memcpy(output_shapes[index], value->shape, (size_t)value->rank * sizeof *value->shape);
  }
  pthread_mutex_unlock(&model->turn);
  return form == NULL ? -1 : 0;
}
