/* The state of the simulator, and instructions as they are stored: what its parts share. */
#ifndef FLEXTUNE_VTA_MACHINE_H
#define FLEXTUNE_VTA_MACHINE_H

#include <stdint.h>

enum { BLOCK = 16, WEIGHT_BYTES = BLOCK * BLOCK, ACCUMULATOR_BYTES = BLOCK * 4, INSTRUCTION_BYTES = 16 };
enum { OP_LOAD, OP_STORE, OP_GEMM, OP_FINISH, OP_ALU };
enum { MEMORY_UOP, MEMORY_WEIGHT, MEMORY_INPUT, MEMORY_ACCUMULATOR, MEMORY_OUTPUT, MEMORIES };
enum { ALU_MIN, ALU_MAX, ALU_ADD, ALU_SHR };
enum { LOAD, COMPUTE, STORE, MODULES };
enum { LOAD_TO_COMPUTE, COMPUTE_TO_LOAD, COMPUTE_TO_STORE, STORE_TO_COMPUTE, CHANNELS };

/* Beside memory, in the order of `hardware.py`. */
struct vta_hardware {
  int32_t entries[MEMORIES]; /* of each buffer */
  int32_t output_bytes;      /* of one element that is stored: 1 or 4 */
  int32_t access;            /* cycles until an accumulator that was written can be written again */
  int32_t alu_cycles;        /* of one ALU operation on one entry */
  int32_t fill;              /* cycles until the first result of a GEMM or ALU instruction */
  int32_t latency;           /* cycles until the first byte of a transfer */
  int32_t bus_bytes;         /* a cycle */
  int32_t queue;             /* instructions that wait for a module */
  int32_t tokens;            /* that wait between two modules */
};

struct vta_report {
  uint64_t cycles, busy[MODULES], gemm_operations, alu_operations, dram_bytes;
  int64_t instruction; /* where it went wrong, or -1 */
  char fault[256];
};

struct clock { uint32_t done[MODULES]; };
struct token { uint64_t ready; struct clock clock; };
struct channel { struct token *waiting; uint32_t first, count; };

struct entry { /* of a buffer: who touched it last, by the module's own count of instructions, from 1 */
  uint32_t writer, written, read[MODULES];
};

struct buffer { uint8_t *bytes; struct entry *entries; int32_t entry_bytes; };

struct module {
  uint32_t *program; /* the numbers of its instructions */
  uint32_t count, dispatched, started;
  uint64_t free, *available, *starts; /* when each reached the queue, and left it */
  struct clock clock;
};

struct machine {
  const struct vta_hardware *hardware;
  const uint64_t *program;
  uint8_t *dram;
  uint64_t dram_bytes, writable[2], bus_free, fetched, end;
  uint32_t count, dispatched, current;
  int finished;
  struct buffer buffers[MEMORIES];
  struct channel channels[CHANNELS];
  struct module modules[MODULES];
  uint64_t *gemm_cycle; /* when each accumulator was written last, in cycles of GEMM operations */
  uint64_t gemm_clock;
  struct vta_report *report;
};

struct memory_fields { uint32_t type, sram, dram, rows, columns, stride, top, bottom, left, right; };
struct loop_fields { uint32_t reset, begin, end, outer, inner, dst[2], src[2], weight[2], operation, immediate; int32_t value; };

extern const char *const MODULE_NAMES[], *const MEMORY_NAMES[];

/* Writes the report's fault; 1. */
int fail(struct machine *m, const char *format, ...);

/* Does what a module's instruction says, and sets `m->end`, when it ends; 1 where it went wrong. */
int execute(struct machine *m, int module, const uint64_t *word, uint64_t start);

static inline uint64_t bits(uint64_t word, int low, int count) { return word >> low & ((UINT64_C(1) << count) - 1); }

/* ---- instructions as they are stored: 128 bits, two words ---- */

static inline uint32_t opcode(const uint64_t *word) { return bits(word[0], 0, 3); }
static inline int pops_previous(const uint64_t *word) { return bits(word[0], 3, 1); }
static inline int pops_next(const uint64_t *word) { return bits(word[0], 4, 1); }
static inline int pushes_previous(const uint64_t *word) { return bits(word[0], 5, 1); }
static inline int pushes_next(const uint64_t *word) { return bits(word[0], 6, 1); }

static inline struct memory_fields memory_of(const uint64_t *w) {
  return (struct memory_fields){bits(w[0], 7, 3),   bits(w[0], 10, 16), bits(w[0], 26, 32), bits(w[1], 0, 16),
                                bits(w[1], 16, 16), bits(w[1], 32, 16), bits(w[1], 48, 4),  bits(w[1], 52, 4),
                                bits(w[1], 56, 4),  bits(w[1], 60, 4)};
}

static inline struct loop_fields loops_of(const uint64_t *w) {
  struct loop_fields f = {bits(w[0], 7, 1), bits(w[0], 8, 13), bits(w[0], 21, 14), bits(w[0], 35, 14), bits(w[0], 49, 14),
                          {bits(w[1], 0, 11), bits(w[1], 11, 11)}, {bits(w[1], 22, 11), bits(w[1], 33, 11)},
                          {bits(w[1], 44, 10), bits(w[1], 54, 10)}, bits(w[1], 44, 2), bits(w[1], 46, 1),
                          (int16_t)bits(w[1], 47, 16)};
  return f;
}

static inline int module_of(const uint64_t *word) {
  if (opcode(word) == OP_STORE) return STORE;
  if (opcode(word) != OP_LOAD) return COMPUTE;
  uint32_t type = memory_of(word).type;
  return type == MEMORY_INPUT || type == MEMORY_WEIGHT ? LOAD : COMPUTE;
}

#endif
