/* A plugin of QEMU's user mode: counts the instructions between two marks (kernel_program.h), by class.
 *
 *   qemu-... -plugin instruction_counts.so,out=FILE program ...
 *
 * writes one line of JSON when the program ends. Distributions ship QEMU without the header of its plugins, so what is used
 * of the interface, version 1, is declared here. Counts are of one thread: they are not atomic. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct {
  const char *target_name;
  struct {
    int min, cur;
  } version;
  int system_emulation;
  union {
    struct {
      int smp_vcpus, max_vcpus;
    } system;
  };
} qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0 };

typedef void (*translation_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscall_callback)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translation_callback);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_callback);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);

enum { FROM = 0x7f01, TO = 0x7f02 }; /* FT_COUNT_FROM, FT_COUNT_TO */
enum { VECTOR, LOAD_STORE, BRANCH, OTHER, CLASSES };
static const char *const NAMES[CLASSES] = {"vector", "load_store", "branch", "other"};

static uint64_t counts[CLASSES], at_begin[CLASSES], inside[CLASSES];
static int (*class_of)(uint32_t word, size_t bytes);

/* Arm Architecture Reference Manual, C4.1: the groups of A64 by bits 28 to 25. */
static int class_of_aarch64(uint32_t word, size_t bytes) {
  (void)bytes;
  unsigned group = word >> 25 & 15;
  if ((group & 5) == 4) return LOAD_STORE;
  if ((group & 7) == 7 || group == 2) return VECTOR; /* scalar floating point, Advanced SIMD, SVE */
  return (group & 14) == 10 ? BRANCH : OTHER;
}

/* The RISC-V Instruction Set Manual, chapter "RV32/64G Instruction Set Listings": major opcodes; compressed ones by their
 * quadrant and function. */
static int class_of_riscv(uint32_t word, size_t bytes) {
  unsigned opcode = word & 127;
  if (bytes == 2) {
    unsigned quadrant = word & 3, function = word >> 13 & 7;
    if (quadrant == 1) return function >= 5 ? BRANCH : OTHER;
    if (quadrant == 0) return function != 0 ? LOAD_STORE : OTHER;
    if (function == 4) return (word >> 2 & 31) == 0 ? BRANCH : OTHER;
    return function != 0 ? LOAD_STORE : OTHER;
  }
  if (opcode == 0x57 || opcode == 0x53 || (opcode & 0x73) == 0x43) return VECTOR; /* OP-V with vsetvl, OP-FP, fused products */
  if (opcode == 0x03 || opcode == 0x07 || opcode == 0x23 || opcode == 0x27) return LOAD_STORE;
  return opcode == 0x63 || opcode == 0x67 || opcode == 0x6f ? BRANCH : OTHER;
}

/* Qualcomm Hexagon V66 Programmer's Reference Manual, 10.1 to 10.9: classes by bits 31 to 28. 1 and 2 are compare and jump in
 * one, but with bit 27 HVX, and its loads and stores. Two instructions in one word (parse bits 0) are loads and stores for the
 * most part. */
static int class_of_hexagon(uint32_t word, size_t bytes) {
  (void)bytes;
  unsigned group = word >> 28;
  if ((word >> 14 & 3) == 0) return LOAD_STORE;
  if (group == 1) return word >> 27 & 1 ? VECTOR : BRANCH;
  if (group == 2) return word >> 27 & 1 ? LOAD_STORE : BRANCH;
  if (group == 3 || group == 4 || group == 9 || group == 10) return LOAD_STORE;
  return group == 5 ? BRANCH : OTHER;
}

static int class_unknown(uint32_t word, size_t bytes) {
  (void)word, (void)bytes;
  return OTHER;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  for (size_t index = 0; index < qemu_plugin_tb_n_insns(block); ++index) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, index);
    size_t bytes = qemu_plugin_insn_size(instruction);
    const uint8_t *data = qemu_plugin_insn_data(instruction);
    for (size_t at = 0; at < bytes; at += sizeof(uint32_t)) { /* several only of Hexagon, where it is a packet */
      uint32_t word = 0;
      memcpy(&word, data + at, bytes - at < sizeof word ? bytes - at : sizeof word);
      qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, &counts[class_of(word, bytes)], 1);
    }
  }
}

static void on_syscall(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                       uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  for (int each = 0; each < CLASSES; ++each) {
    if (number == FROM) at_begin[each] = counts[each];
    if (number == TO) inside[each] += counts[each] - at_begin[each];
  }
}

static void on_end(qemu_plugin_id_t id, void *path) {
  (void)id;
  FILE *out = path == NULL ? NULL : fopen(path, "w");
  if (out == NULL) return;
  for (int each = 0; each < CLASSES; ++each)
    fprintf(out, "%s\"%s\": %" PRIu64, each == 0 ? "{" : ", ", NAMES[each], inside[each]);
  fprintf(out, "}\n");
  fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int words, char **word) {
  char *path = NULL;
  class_of = strcmp(info->target_name, "aarch64") == 0   ? class_of_aarch64
             : strcmp(info->target_name, "riscv64") == 0 ? class_of_riscv
             : strcmp(info->target_name, "hexagon") == 0 ? class_of_hexagon
                                                         : class_unknown;
  for (int index = 0; index < words; ++index)
    if (strncmp(word[index], "out=", 4) == 0) path = strdup(word[index] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  qemu_plugin_register_atexit_cb(id, on_end, path);
  return 0;
}
