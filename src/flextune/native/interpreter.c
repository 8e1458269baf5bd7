/* See interpreter.h and program.h. */
#define _GNU_SOURCE
#include "interpreter.h"

#include <string.h>
#include <time.h>

#include "pool.h"

static int64_t nanosecs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int is_true(const ft_run_state *state, int32_t value) {
  return value < 0 || *(const uint8_t *)state->tensors[value].data != 0;
}

static char *address(const ft_run_state *state, int32_t value) { return state->tensors[value].data; }

/* Where a carried value is before iteration i. */
static char *carried(const ft_run_state *state, const ft_move *move, int64_t i) {
  return i == 0 ? address(state, move->value) : state->slots[move->other];
}

static void enter_iteration(const ft_run_state *state, const ft_loop *loop, int64_t i) {
  for (int32_t index = 0; index < loop->move_count; ++index) { /* before the slots that they follow change */
    const ft_move *move = &loop->moves[index];
    if (move->change == FT_CARRIED) state->slots[move->slot] = carried(state, move, i);
  }
  for (int32_t index = 0; index < loop->move_count; ++index) {
    const ft_move *move = &loop->moves[index];
    if (move->change == FT_SLICE)
      state->slots[move->slot] = address(state, move->value) + move->start + i * move->stride;
    else if (move->change == FT_TURN)
      state->slots[move->slot] = address(state, i % 2 == 0 ? move->value : move->other);
    else if (move->change == FT_COUNTER)
      memcpy(address(state, move->value), &i, sizeof i);
  }
  for (int32_t index = 0; index < loop->moved_count; ++index) {
    const ft_value *value = &state->program->values[loop->moved[index]];
    state->tensors[loop->moved[index]].data = state->slots[value->port] + value->offset;
  }
}

static void leave(const ft_run_state *state, const ft_loop *loop, int64_t i) {
  for (int32_t index = 0; index < loop->move_count; ++index) {
    const ft_move *move = &loop->moves[index];
    if (move->change == FT_CARRIED && move->result >= 0)
      memcpy(address(state, move->result), carried(state, move, i),
             (size_t)state->program->values[move->result].bytes);
  }
}

/* Begins iteration i of a loop, or leaves it; returns the step to go to. */
static int32_t iterate(const ft_run_state *state, int32_t number, int64_t i, int goes_on) {
  const ft_loop *loop = &state->program->loops[number];
  int64_t limit = loop->limit;
  if (loop->count >= 0) {
    int64_t count;
    memcpy(&count, address(state, loop->count), sizeof count);
    if (count < limit) limit = count;
  }
  state->iterations[number] = i;
  if (i < limit && goes_on) {
    enter_iteration(state, loop, i);
    return loop->body;
  }
  leave(state, loop, i);
  return loop->end;
}

static int call(const ft_run_state *state, const ft_step *step) {
  ft_any result = {0, 0, NULL};
  if (step->alone) ft_run_alone(1);
  int status = step->kernel(NULL, &state->arguments[step->first], step->count, &result);
  if (step->alone) ft_run_alone(0);
  return status;
}

static void copy(const ft_run_state *state, const ft_step *step) {
  const int32_t *arguments = &state->program->arguments[step->first];
  memcpy(address(state, arguments[1]), address(state, arguments[0]), (size_t)state->program->values[arguments[0]].bytes);
}

/* The step after this one, or -1 when it failed. */
static int32_t run_step(const ft_run_state *state, int32_t index) {
  const ft_step *step = &state->program->steps[index];
  switch (step->kind) {
    case FT_CALL:
      return call(state, step) == 0 ? index + 1 : -1;
    case FT_COPY:
      copy(state, step);
      return index + 1;
    case FT_LOOP:
      return iterate(state, step->target, 0, is_true(state, state->program->loops[step->target].enter));
    case FT_NEXT:
      return iterate(state, step->target, state->iterations[step->target] + 1,
                     is_true(state, state->program->loops[step->target].again));
    case FT_UNLESS:
      return is_true(state, state->program->arguments[step->first]) ? index + 1 : step->target;
    case FT_JUMP:
      return step->target;
  }
  return -1;
}

int ft_run_steps(const ft_run_state *state, ft_spent *spent) {
  int64_t before = spent == NULL ? 0 : nanosecs();
  for (int32_t index = 0; index < state->program->step_count;) {
    int32_t next = run_step(state, index);
    if (next < 0) return -1;
    if (spent != NULL) {
      int64_t now = nanosecs();
      spent[index].nanosecs += now - before;
      spent[index].calls += 1;
      before = now;
    }
    index = next;
  }
  return 0;
}
