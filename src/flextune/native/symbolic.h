/* Programs some of whose sizes are known only when they run, and what is made of them for a combination of sizes.
 *
 * A symbol is a size that axes of inputs share. Whatever depends on symbols is an expression in postfix notation. For
 * each new combination of sizes the expressions are evaluated, the activations placed and kernels chosen: that gives a
 * program without symbols, a form. The latest forms are kept, so a run with the sizes of an earlier one finds all done.
 */
#ifndef FLEXTUNE_SYMBOLIC_H_
#define FLEXTUNE_SYMBOLIC_H_

#include <stdint.h>

#include "program.h"

/* It is a multiple of `multiple` from `least` to `most`, and read from `axis` of input number `input`. */
typedef struct {
  const char *name;
  int64_t least, most, multiple;
  int32_t input, axis;
} ft_symbol;

typedef enum {
  FT_NUMBER, /* the operand */
  FT_SYMBOL, /* the symbol of that number */
  FT_ADD,
  FT_MULTIPLY,
  FT_DIVIDE, /* rounded down */
  FT_MINIMUM,
  FT_MAXIMUM
} ft_operation;

typedef struct {
  int32_t operation;
  int64_t operand;
} ft_instruction;

/* `numbers[place]` is what `count` instructions from `first` on give. */
typedef struct {
  int32_t place, first, count;
} ft_entry;

/* Value number `value` has its shape from place `shape` on in the numbers, its size in bytes at place `bytes`, and lies
 * in buffer number `buffer`; -1 where that is as the table of values says. */
typedef struct {
  int32_t value, shape, bytes, buffer;
} ft_sized;

/* A part of the activations: its size is the number at place `bytes`, and it is in use from step `first` to `last`. */
typedef struct {
  int32_t bytes, first, last;
} ft_buffer;

/* Sizes, by their places, that must be equal: of operands, and in bytes of two tensors that share memory. */
typedef struct {
  int32_t first, second;
} ft_equality;

/* Argument number `argument` is the number at `place` rather than a tensor. */
typedef struct {
  int32_t argument, place;
} ft_scalar;

/* One of the kernels that step number `step` may call: of all of one step, which follow each other, the first whose
 * number at place `cost` is the least is called. */
typedef struct {
  int32_t step;
  ft_kernel kernel;
  int32_t cost;
} ft_variant;

/* Value number `value` holds the numbers from `place` on. */
typedef struct {
  int32_t value, place;
} ft_elements;

/* Step number `step` is left out where the number at `place` is 0: it would write nothing. In `alone` such a step is not
 * left out but run by one thread. */
typedef struct {
  int32_t step, place;
} ft_idle;

/* Loop number `loop` has at most as many iterations as the number at `place`. */
typedef struct {
  int32_t loop, place;
} ft_limit;

/* Of move number `move`, counted through the loops, start and stride are the numbers at these places. */
typedef struct {
  int32_t move, start, stride;
} ft_slice;

/* A program for one combination of sizes, and the tables of its runs. `activations` is what the tensors were last
 * pointed into. */
typedef struct {
  ft_program program;
  ft_tensor *tensors;
  ft_any *arguments;
  char *activations;
  int64_t *symbols;
  int64_t *numbers;
  ft_value *values;
  ft_step *steps;
  ft_loop *loops;
  ft_move *moves;
  uint64_t used; /* when; 0: it is of no sizes */
} ft_form;

typedef struct ft_forms ft_forms;

/* `numbers` has zeros in the places of `entries`, of which the first `size_count` must not be negative. `axes` has the
 * symbols of the axes of the inputs, one input after the other, and -1 for axes that are no symbol. `orders` are the
 * buffers by their first steps, then by their last ones, backwards. The functions are those at the end of this file;
 * only programs with symbols are linked with them. */
struct ft_symbolic {
  const ft_symbol *symbols;
  const ft_instruction *instructions;
  const ft_entry *entries;
  const int64_t *numbers;
  const int32_t *axes;
  const ft_sized *sized;
  const ft_buffer *buffers;
  const int32_t *orders;
  const ft_equality *equalities;
  const ft_scalar *scalars;
  const ft_variant *variants;
  const ft_elements *elements;
  const ft_idle *idle;
  const ft_idle *alone;
  const ft_limit *limits;
  const ft_slice *slices;
  int32_t symbol_count, entry_count, size_count, number_count, sized_count, buffer_count, equality_count, scalar_count,
      variant_count, elements_count, idle_count, alone_count, limit_count, slice_count;
  ft_forms *(*open)(const ft_program *program);
  ft_form *(*find)(ft_forms *forms, const int64_t *const *shapes);
  void (*close)(ft_forms *forms);
};

/* Where the forms of a program are kept; NULL where there is no memory. */
ft_forms *ft_open_forms(const ft_program *program);
void ft_close_forms(ft_forms *forms);

/* The form for inputs of these shapes. NULL, with a message, where the model does not take them. */
ft_form *ft_find_form(ft_forms *forms, const int64_t *const *shapes);

#endif
