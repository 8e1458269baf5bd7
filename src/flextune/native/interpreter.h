/* Running the steps of a program. */
#ifndef FLEXTUNE_INTERPRETER_H_
#define FLEXTUNE_INTERPRETER_H_

#include <stdint.h>

#include "program.h"

/* What a run works on. `slots` and `iterations` have room for the program's slots and loops. */
typedef struct {
  const ft_program *program;
  ft_tensor *tensors;
  const ft_any *arguments;
  char **slots;
  int64_t *iterations;
} ft_run_state;

/* The time that a step took in all of its calls, and their number. */
typedef struct {
  int64_t nanosecs;
  int64_t calls;
} ft_spent;

/* Runs all steps: 0, or -1 when a kernel failed. `spent`, where given, has an entry for each step. */
int ft_run_steps(const ft_run_state *state, ft_spent *spent);

#endif
