/* See symbolic.h. */
#define _GNU_SOURCE
#include "symbolic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { KEPT_FORMS = 16, STACK_DEPTH = 32, ALIGNMENT_BYTES = 64, TEXT_BYTES = 256 };

struct ft_forms {
  const ft_program *program;
  ft_form kept[KEPT_FORMS];
  uint64_t clock;
  int64_t *symbols;           /* of the present run */
  int64_t *sizes, *offsets;   /* of buffers, while they are placed */
  int64_t *best;
  int32_t *order, *placed;
};

static int32_t rank_of_input(const ft_program *program, int32_t input) {
  return program->values[program->inputs[input].value].rank;
}

/* Reading the symbols from the shapes of the inputs. */

static int refuse_size(const ft_program *program, const ft_symbol *symbol, int64_t size) {
  const char *input = program->inputs[symbol->input].name;
  if (size < symbol->least || size > symbol->most)
    return ft_fail("input '%s', axis %d: %lld is out of the range %s=%lld..%lld", input, symbol->axis, (long long)size,
                   symbol->name, (long long)symbol->least, (long long)symbol->most);
  return ft_fail("input '%s', axis %d: %lld is no multiple of %lld, as %s=%lld..%lld must be", input, symbol->axis,
                 (long long)size, (long long)symbol->multiple, symbol->name, (long long)symbol->least,
                 (long long)symbol->most);
}

static int read_symbol(const ft_forms *forms, int32_t number, int32_t input, int32_t axis, int64_t size) {
  const ft_symbol *symbol = &forms->program->symbolic->symbols[number];
  if (symbol->input == input && symbol->axis == axis) {
    if (size < symbol->least || size > symbol->most || size % symbol->multiple != 0)
      return refuse_size(forms->program, symbol, size);
    forms->symbols[number] = size;
  } else if (forms->symbols[number] != size) {
    return ft_fail("input '%s', axis %d: %lld is given for %s, which is %lld by input '%s', axis %d",
                   forms->program->inputs[input].name, axis, (long long)size, symbol->name,
                   (long long)forms->symbols[number], forms->program->inputs[symbol->input].name, symbol->axis);
  }
  return 0;
}

static int read_symbols(const ft_forms *forms, const int64_t *const *shapes) {
  const int32_t *number = forms->program->symbolic->axes;
  for (int32_t input = 0; input < forms->program->input_count; ++input)
    for (int32_t axis = 0; axis < rank_of_input(forms->program, input); ++axis, ++number)
      if (*number >= 0 && read_symbol(forms, *number, input, axis, shapes[input][axis]) != 0) return -1;
  return 0;
}

/* Axes that are numbers or expressions must be what the symbols make of them. */
static int check_shapes(const ft_form *form, const int64_t *const *shapes) {
  for (int32_t input = 0; input < form->program.input_count; ++input) {
    const ft_value *value = &form->program.values[form->program.inputs[input].value];
    for (int32_t axis = 0; axis < value->rank; ++axis)
      if (shapes[input][axis] != value->shape[axis])
        return ft_fail("input '%s', axis %d: %lld is given, expected %lld", form->program.inputs[input].name, axis,
                       (long long)shapes[input][axis], (long long)value->shape[axis]);
  }
  return 0;
}

/* Evaluating the expressions. */

static int64_t divided(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/* a becomes `a operation b`: 0, or -1 where that is no number of 64 bits. */
static int apply(int32_t operation, int64_t *a, int64_t b) {
  switch (operation) {
    case FT_ADD: return __builtin_add_overflow(*a, b, a) ? -1 : 0;
    case FT_MULTIPLY: return __builtin_mul_overflow(*a, b, a) ? -1 : 0;
    case FT_MAXIMUM: *a = *a > b ? *a : b; return 0;
    case FT_MINIMUM: *a = *a < b ? *a : b; return 0;
  }
  if (b == 0 || (b == -1 && *a == INT64_MIN)) return -1;
  *a = divided(*a, b);
  return 0;
}

static int evaluate(const ft_instruction *code, int32_t count, const int64_t *symbols, int64_t *result) {
  int64_t stack[STACK_DEPTH];
  int top = -1;
  for (int32_t index = 0; index < count; ++index) {
    int32_t operation = code[index].operation;
    if (operation == FT_NUMBER) stack[++top] = code[index].operand;
    else if (operation == FT_SYMBOL) stack[++top] = symbols[code[index].operand];
    else if (--top, apply(operation, &stack[top], stack[top + 1]) != 0) return -1;
  }
  *result = stack[0];
  return 0;
}

/* "batch=2, width=9", for messages. */
static const char *sizes_text(const ft_form *form, char *text) {
  const ft_symbolic *symbolic = form->program.symbolic;
  int used = 0;
  text[0] = '\0';
  for (int32_t index = 0; index < symbolic->symbol_count && used < TEXT_BYTES; ++index)
    used += snprintf(text + used, (size_t)(TEXT_BYTES - used), "%s%s=%lld", index > 0 ? ", " : "",
                     symbolic->symbols[index].name, (long long)form->symbols[index]);
  return text;
}

static int fill_numbers(const ft_form *form) {
  const ft_symbolic *symbolic = form->program.symbolic;
  char text[TEXT_BYTES];
  memcpy(form->numbers, symbolic->numbers, (size_t)symbolic->number_count * sizeof *form->numbers);
  for (int32_t index = 0; index < symbolic->entry_count; ++index) {
    const ft_entry *entry = &symbolic->entries[index];
    int64_t *number = &form->numbers[entry->place];
    if (evaluate(symbolic->instructions + entry->first, entry->count, form->symbols, number) != 0)
      return ft_fail("the model cannot be run with %s: a size of its tensors would be no number", sizes_text(form, text));
    if (index < symbolic->size_count && *number < 0)
      return ft_fail("the model cannot be run with %s: a tensor would have a negative size", sizes_text(form, text));
  }
  for (int32_t index = 0; index < symbolic->equality_count; ++index) {
    const ft_equality *pair = &symbolic->equalities[index];
    if (form->numbers[pair->first] != form->numbers[pair->second])
      return ft_fail("the model cannot be run with %s: two sizes that must be the same are %lld and %lld",
                     sizes_text(form, text), (long long)form->numbers[pair->first],
                     (long long)form->numbers[pair->second]);
  }
  return 0;
}

/* Placing the activations: see flextune.apply.memory_plan. */

static int larger_first(const void *a, const void *b, void *context) {
  const ft_forms *forms = context;
  int32_t first = *(const int32_t *)a, second = *(const int32_t *)b;
  if (forms->sizes[first] != forms->sizes[second]) return forms->sizes[first] < forms->sizes[second] ? 1 : -1;
  const ft_buffer *buffers = forms->program->symbolic->buffers;
  if (buffers[first].first != buffers[second].first) return buffers[first].first < buffers[second].first ? -1 : 1;
  return first < second ? -1 : 1;
}

/* The lowest offset where a buffer meets none of those placed that live when it does; they are in order of offsets. */
static int64_t lowest_gap(const ft_forms *forms, int32_t buffer, int32_t placed_count) {
  const ft_buffer *buffers = forms->program->symbolic->buffers, *own = &buffers[buffer];
  int64_t offset = 0;
  for (int32_t index = 0; index < placed_count; ++index) {
    int32_t other = forms->placed[index];
    if (buffers[other].first > own->last || own->first > buffers[other].last) continue;
    if (offset + forms->sizes[buffer] <= forms->offsets[other]) break;
    int64_t end = forms->offsets[other] + forms->sizes[other];
    if (end > offset) offset = end;
  }
  return offset;
}

/* Places the buffers in this order; returns the bytes they need. */
static int64_t place_in_order(ft_forms *forms, const int32_t *order) {
  int64_t bytes = 0;
  for (int32_t count = 0; count < forms->program->symbolic->buffer_count; ++count) {
    int32_t buffer = order[count], at = count;
    int64_t offset = lowest_gap(forms, buffer, count);
    forms->offsets[buffer] = offset;
    if (offset + forms->sizes[buffer] > bytes) bytes = offset + forms->sizes[buffer];
    for (; at > 0 && forms->offsets[forms->placed[at - 1]] > offset; --at) forms->placed[at] = forms->placed[at - 1];
    forms->placed[at] = buffer;
  }
  return bytes;
}

static void keep_if_smaller(ft_forms *forms, const int32_t *order, int64_t *bytes) {
  int64_t found = place_in_order(forms, order);
  if (*bytes >= 0 && found >= *bytes) return;
  *bytes = found;
  memcpy(forms->best, forms->offsets, (size_t)forms->program->symbolic->buffer_count * sizeof *forms->best);
}

/* Offsets of all buffers, in `best`; returns the bytes of the activations. */
static int64_t place_buffers(ft_forms *forms, const ft_form *form) {
  const ft_symbolic *symbolic = forms->program->symbolic;
  int64_t bytes = -1;
  for (int32_t index = 0; index < symbolic->buffer_count; ++index) {
    int64_t size = form->numbers[symbolic->buffers[index].bytes];
    forms->sizes[index] = ((size > 0 ? size : 1) + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
    forms->order[index] = index;
  }
  qsort_r(forms->order, (size_t)symbolic->buffer_count, sizeof *forms->order, larger_first, forms);
  keep_if_smaller(forms, forms->order, &bytes);
  keep_if_smaller(forms, symbolic->orders + symbolic->buffer_count, &bytes);
  keep_if_smaller(forms, symbolic->orders, &bytes);
  return bytes;
}

/* What a form is made of. */

static void fill_values(const ft_forms *forms, ft_form *form) {
  const ft_symbolic *symbolic = forms->program->symbolic;
  memcpy(form->values, forms->program->values, (size_t)forms->program->value_count * sizeof *form->values);
  for (int32_t index = 0; index < symbolic->sized_count; ++index) {
    const ft_sized *sized = &symbolic->sized[index];
    ft_value *value = &form->values[sized->value];
    if (sized->shape >= 0) value->shape = form->numbers + sized->shape;
    if (sized->bytes >= 0) value->bytes = form->numbers[sized->bytes];
    if (sized->buffer >= 0) value->offset += forms->best[sized->buffer];
  }
  for (int32_t index = 0; index < symbolic->elements_count; ++index)
    form->values[symbolic->elements[index].value].offset =
        symbolic->elements[index].place * (int64_t)sizeof *form->numbers;
}

static void fill_arguments(ft_form *form) {
  const ft_symbolic *symbolic = form->program.symbolic;
  for (int32_t index = 0; index < form->program.argument_count; ++index) {
    ft_any tensor = {FT_TENSOR_POINTER, 0, &form->tensors[form->program.arguments[index]]};
    form->arguments[index] = tensor;
  }
  for (int32_t index = 0; index < symbolic->scalar_count; ++index) {
    ft_any number = {FT_INTEGER, 0, (void *)(intptr_t)form->numbers[symbolic->scalars[index].place]};
    form->arguments[symbolic->scalars[index].argument] = number;
  }
}

static void choose_kernels(ft_form *form) {
  const ft_symbolic *symbolic = form->program.symbolic;
  const ft_variant *best = NULL;
  for (int32_t index = 0; index < symbolic->variant_count; ++index) {
    const ft_variant *variant = &symbolic->variants[index];
    if (best != NULL && best->step == variant->step && form->numbers[variant->cost] >= form->numbers[best->cost])
      continue;
    best = variant;
    form->steps[variant->step].kernel = variant->kernel;
  }
}

/* Leaves out steps that write nothing, and short ones to one thread. */
static void mark_steps(ft_form *form) {
  const ft_symbolic *symbolic = form->program.symbolic;
  for (int32_t index = 0; index < symbolic->idle_count; ++index) {
    if (form->numbers[symbolic->idle[index].place] != 0) continue;
    ft_step *step = &form->steps[symbolic->idle[index].step];
    step->kind = FT_JUMP;
    step->target = symbolic->idle[index].step + 1;
  }
  for (int32_t index = 0; index < symbolic->alone_count; ++index)
    form->steps[symbolic->alone[index].step].alone = form->numbers[symbolic->alone[index].place] == 0;
}

/* Whether steps differ from combination to combination. */
static int has_steps(const ft_symbolic *all) { return all->variant_count + all->idle_count + all->alone_count > 0; }

/* The loops of the program, with moves of their own. */
static void fill_loops(const ft_program *program, ft_form *form) {
  const ft_symbolic *symbolic = program->symbolic;
  ft_move *moves = form->moves;
  for (int32_t index = 0; index < program->loop_count; ++index) {
    form->loops[index] = program->loops[index];
    form->loops[index].moves = moves;
    memcpy(moves, program->loops[index].moves, (size_t)program->loops[index].move_count * sizeof *moves);
    moves += program->loops[index].move_count;
  }
  for (int32_t index = 0; index < symbolic->limit_count; ++index)
    form->loops[symbolic->limits[index].loop].limit = form->numbers[symbolic->limits[index].place];
  for (int32_t index = 0; index < symbolic->slice_count; ++index) {
    ft_move *move = &form->moves[symbolic->slices[index].move];
    move->start = form->numbers[symbolic->slices[index].start];
    move->stride = form->numbers[symbolic->slices[index].stride];
  }
  form->program.loops = form->loops;
}

static int fill_form(ft_forms *forms, ft_form *form) {
  const ft_program *program = forms->program;
  memcpy(form->symbols, forms->symbols, (size_t)program->symbolic->symbol_count * sizeof *form->symbols);
  form->program = *program;
  if (fill_numbers(form) != 0) return -1;
  form->program.activation_bytes = place_buffers(forms, form);
  if (form->program.activation_bytes < 0) form->program.activation_bytes = 0;
  fill_values(forms, form);
  form->program.values = form->values;
  fill_arguments(form);
  if (form->steps != NULL) {
    memcpy(form->steps, program->steps, (size_t)program->step_count * sizeof *form->steps);
    choose_kernels(form);
    mark_steps(form);
    form->program.steps = form->steps;
  }
  fill_loops(program, form);
  form->activations = NULL;
  return 0;
}

static void free_form(ft_form *form) {
  free(form->symbols);
  free(form->numbers);
  free(form->values);
  free(form->tensors);
  free(form->arguments);
  free(form->steps);
  free(form->loops);
  free(form->moves);
  memset(form, 0, sizeof *form);
}

static void *room(int32_t count, size_t bytes) { return calloc((size_t)count + 1, bytes); }

/* The numbers of a form, some of which kernels read as tensors. */
static int64_t *room_for_numbers(int32_t count) {
  void *numbers = NULL;
  if (posix_memalign(&numbers, ALIGNMENT_BYTES, ((size_t)count + 1) * sizeof(int64_t)) != 0) return NULL;
  return numbers;
}

static int32_t moves_of(const ft_program *program) {
  int32_t count = 0;
  for (int32_t index = 0; index < program->loop_count; ++index) count += program->loops[index].move_count;
  return count;
}

static int allocate_form(const ft_program *program, ft_form *form) {
  const ft_symbolic *symbolic = program->symbolic;
  form->symbols = room(symbolic->symbol_count, sizeof *form->symbols);
  form->numbers = room_for_numbers(symbolic->number_count);
  form->values = room(program->value_count, sizeof *form->values);
  form->tensors = room(program->value_count, sizeof *form->tensors);
  form->arguments = room(program->argument_count, sizeof *form->arguments);
  form->steps = has_steps(symbolic) ? room(program->step_count, sizeof *form->steps) : NULL;
  form->loops = room(program->loop_count, sizeof *form->loops);
  form->moves = room(moves_of(program), sizeof *form->moves);
  if (form->symbols != NULL && form->numbers != NULL && form->values != NULL && form->tensors != NULL &&
      form->arguments != NULL && form->loops != NULL && form->moves != NULL &&
      (form->steps != NULL || !has_steps(symbolic)))
    return 0;
  free_form(form);
  return ft_fail("out of memory");
}

ft_forms *ft_open_forms(const ft_program *program) {
  ft_forms *forms = calloc(1, sizeof *forms);
  int32_t buffers = program->symbolic->buffer_count;
  if (forms == NULL) return NULL;
  forms->program = program;
  forms->symbols = room(program->symbolic->symbol_count, sizeof *forms->symbols);
  forms->sizes = room(buffers, sizeof *forms->sizes);
  forms->offsets = room(buffers, sizeof *forms->offsets);
  forms->best = room(buffers, sizeof *forms->best);
  forms->order = room(buffers, sizeof *forms->order);
  forms->placed = room(buffers, sizeof *forms->placed);
  if (forms->symbols != NULL && forms->sizes != NULL && forms->offsets != NULL && forms->best != NULL &&
      forms->order != NULL && forms->placed != NULL)
    return forms;
  ft_close_forms(forms);
  return NULL;
}

void ft_close_forms(ft_forms *forms) {
  if (forms == NULL) return;
  for (int index = 0; index < KEPT_FORMS; ++index) free_form(&forms->kept[index]);
  free(forms->symbols);
  free(forms->sizes);
  free(forms->offsets);
  free(forms->best);
  free(forms->order);
  free(forms->placed);
  free(forms);
}

static int has_sizes(const ft_forms *forms, const ft_form *form) {
  size_t bytes = (size_t)forms->program->symbolic->symbol_count * sizeof *form->symbols;
  return form->used > 0 && memcmp(form->symbols, forms->symbols, bytes) == 0;
}

/* The form of these sizes, or the one that was not used for longest, which is of no sizes from then on. */
static ft_form *kept_form(ft_forms *forms) {
  ft_form *oldest = &forms->kept[0];
  for (int index = 0; index < KEPT_FORMS; ++index) {
    ft_form *form = &forms->kept[index];
    if (has_sizes(forms, form)) return form;
    if (form->used < oldest->used) oldest = form;
  }
  oldest->used = 0;
  return oldest;
}

ft_form *ft_find_form(ft_forms *forms, const int64_t *const *shapes) {
  if (read_symbols(forms, shapes) != 0) return NULL;
  ft_form *form = kept_form(forms);
  if (form->used == 0) {
    if (form->symbols == NULL && allocate_form(forms->program, form) != 0) return NULL;
    if (fill_form(forms, form) != 0) return NULL;
  }
  form->used = ++forms->clock;
  return check_shapes(form, shapes) == 0 ? form : NULL;
}
