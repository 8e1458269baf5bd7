/* What an Ascend core does to its memories, executed and checked: the part of the emulation that is compiled once.

   Each pipe (scalar, vector, cube, three for moving data, one for results) executes its instructions in order, beside
   the others. Who may read or overwrite what is told by vector clocks: an instruction is known to have ended to another
   pipe only by an event or a queue. So a missing wait is found whatever the numbers are, and in any order of execution.
   Beside that each pipe has a clock of cycles: a model, never a time. */
#ifndef FLEXTUNE_ASCEND_EMULATION_H
#define FLEXTUNE_ASCEND_EMULATION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ascend_place { UB, L1, L0A, L0B, L0C, BT, PLACES };
enum ascend_pipe { SCALAR, VECTOR, CUBE, MTE1, MTE2, MTE3, FIX, PIPES };
enum ascend_vector { ADD, SUB, MUL, MAX, ADDS, MULS, EXP };
enum ascend_reduction { SUM_OF, MAX_OF };

/* A piece of a memory on the core. */
struct ascend_local {
  int place;
  uint32_t offset, bytes;
};

struct ascend_chip {
  uint32_t bytes[PLACES];
  uint32_t blocks;      /* cores that work at the same time */
  uint32_t global_rate; /* bytes a cycle that all of them get from memory together */
};

struct ascend_report {
  double cycles, busy[PIPES];
  uint64_t global_bytes;
  char fault[256];
};

/* Runs a kernel on every core, one after the other. 0; 1 where a core would do something wrong, as `fault` says;
   2 without memory. Only the last argument may be written. */
int ascend_run(const struct ascend_chip *chip, void (*kernel)(uint8_t **), uint8_t **arguments, const uint64_t *sizes,
               int count, struct ascend_report *report);

/* For kernels. */
int64_t ascend_block(void);
int64_t ascend_blocks(void);
void ascend_fault(const char *operation, const char *reason);
struct ascend_local ascend_take(int place, uint32_t bytes);
struct ascend_local ascend_part(struct ascend_local whole, uint64_t offset);
void ascend_set(int from, int to, int event);
void ascend_wait(int from, int to, int event);
void ascend_barrier(int pipe);
int ascend_token(int pipe);             /* what this pipe has done until now, */
void ascend_join(int pipe, int token);  /* which another waits for */
float ascend_value(struct ascend_local from, uint32_t index);

void ascend_copy_in(struct ascend_local to, const uint8_t *from, uint32_t rows, uint64_t bytes, uint64_t gap,
                    uint32_t pitch);
void ascend_copy_out(uint8_t *to, struct ascend_local from, uint32_t rows, uint64_t bytes, uint64_t gap,
                     uint32_t pitch);
void ascend_copy_bias(struct ascend_local to, struct ascend_local from, uint32_t bytes);
void ascend_fill(struct ascend_local to, uint32_t bytes, float value);
void ascend_fractals_in(struct ascend_local to, const uint8_t *from, uint32_t rows, uint32_t columns, uint64_t row,
                        uint32_t column_pitch);
void ascend_load(struct ascend_local to, struct ascend_local from, uint32_t first, uint32_t repeats, uint32_t stride,
                 uint32_t gap, int transposed);
void ascend_product(struct ascend_local sums, struct ascend_local a, struct ascend_local b,
                    const struct ascend_local *bias, uint32_t m, uint32_t n, uint32_t k, int is_first);
void ascend_results(uint8_t *to, struct ascend_local sums, uint32_t m, uint32_t n, uint32_t pitch, uint32_t row,
                    int relu);
void ascend_vector(int operation, struct ascend_local to, struct ascend_local a, struct ascend_local b, float scalar,
                   uint32_t count);
void ascend_reduce(int operation, struct ascend_local to, struct ascend_local from, struct ascend_local work,
                   uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
