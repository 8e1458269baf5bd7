/* The state of a run, and the order of what pipes do to memories: what instructions are written in. */
#ifndef FLEXTUNE_ASCEND_CORE_H
#define FLEXTUNE_ASCEND_CORE_H

#include "emulation.h"

#include <setjmp.h>

#define API __attribute__((visibility("default")))

enum { LINE = 32, EVENTS = 8 };

/* What a memory remembers of every 32 bytes: which instruction wrote them last, and which read them last. */
struct line {
  int writer; /* a pipe, or PIPES */
  uint32_t written, read[PIPES];
};

struct memory {
  uint8_t *bytes, *written;
  struct line *lines;
  uint32_t used;
};

/* What a pipe knows to have ended on every pipe, and the cycle when it knew. */
struct knowledge {
  uint32_t done[PIPES];
  double cycle;
};

/* One run at a time in a process: a kernel calls these functions without naming it. */
struct run {
  const struct ascend_chip *chip;
  struct ascend_report *report;
  struct memory memories[PLACES];
  struct knowledge known[PIPES];
  uint32_t issued[PIPES], barrier[PIPES];
  int events[PIPES][PIPES][EVENTS]; /* a token + 1; 0 where it is not set */
  struct knowledge *tokens;
  int token_count, token_room;
  uint8_t *const *arguments;
  const uint64_t *sizes;
  int argument_count;
  int64_t block, blocks;
  const char *operation;
  jmp_buf end;
};

extern struct run run;
extern const char *const PLACE_NAMES[], *const PIPE_NAMES[];

/* Ends the run with this text. */
_Noreturn void fault(const char *format, ...);

/* The next instruction of a pipe, which takes so many cycles. */
void issue(int pipe, const char *operation, double cycles);

/* Part of a tensor that a pipe reads or writes: faults where another pipe may still be at it. */
const uint8_t *reads(int pipe, struct ascend_local of, uint64_t from, uint64_t bytes);
uint8_t *writes(int pipe, struct ascend_local of, uint64_t from, uint64_t bytes);

#endif
