/* As kernel_program.c, for processors of which there is no C library: Hexagon under Linux, by system calls alone.
 *
 *   program ENTRY THREADS NUMBER REPEATS FILE
 *
 * Only ENTRY and FILE count: the kernel is called once, on one thread. */
#include "kernel_program.h"

enum { OPENAT = 56, READ = 63, WRITE = 64, EXIT = 93, AT_FDCWD = -100, CREATE = 01101, OWN_FILE = 0644 };
enum { MOST_ARGUMENTS = 64, MOST_RANK = 16, ARENA_BYTES = 96 << 20, TEXT_BYTES = 1 << 16, LINE_BYTES = 128 };

typedef struct {
  ft_tensor tensor;
  int64_t shape[MOST_RANK];
  size_t bytes;
  const char *path;
} argument;

static argument arguments[MOST_ARGUMENTS];
static ft_any given[MOST_ARGUMENTS];
static int count;
static char text[TEXT_BYTES];
static char arena[ARENA_BYTES] __attribute__((aligned(LINE_BYTES)));
static size_t used;

static long system_call(long number, long a, long b, long c, long d) {
  register long r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c, r3 __asm__("r3") = d;
  register long r4 __asm__("r4") = 0, r5 __asm__("r5") = 0, r6 __asm__("r6") = number;
  __asm__ volatile("trap0(#1)" : "+r"(r0) : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6) : "memory");
  return r0;
}

__attribute__((noreturn)) static void leave(int status) {
  system_call(EXIT, status, 0, 0, 0);
  __builtin_trap();
}

static void say(const char *message) {
  size_t length = 0;
  while (message[length] != '\0') ++length;
  system_call(WRITE, 2, (long)message, (long)length, 0);
}

__attribute__((noreturn)) static void fail(const char *what, const char *why) {
  say(what), say(": "), say(why), say("\n");
  leave(2);
}

/* What compilers call by name. */
void *memset(void *to, int value, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);

void *memset(void *to, int value, size_t bytes) {
  for (size_t index = 0; index < bytes; ++index) ((volatile char *)to)[index] = (char)value;
  return to;
}

void *memcpy(void *to, const void *from, size_t bytes) {
  for (size_t index = 0; index < bytes; ++index) ((volatile char *)to)[index] = ((const char *)from)[index];
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  if ((char *)to <= (const char *)from) return memcpy(to, from, bytes);
  for (size_t index = bytes; index-- > 0;) ((volatile char *)to)[index] = ((const char *)from)[index];
  return to;
}

/* Division, for which Hexagon has no instruction: one bit at a time. */
static uint64_t divided(uint64_t number, uint64_t by, uint64_t *rest) {
  uint64_t quotient = 0, left = 0;
  for (int bit = 63; bit >= 0; --bit) {
    left = left << 1 | (number >> bit & 1);
    if (left >= by) left -= by, quotient |= (uint64_t)1 << bit;
  }
  *rest = left;
  return quotient;
}

static int64_t divided_signed(int64_t number, int64_t by, int64_t *rest) {
  uint64_t left, size = number < 0 ? -(uint64_t)number : (uint64_t)number, divisor = by < 0 ? -(uint64_t)by : (uint64_t)by;
  uint64_t quotient = divided(size, divisor, &left);
  *rest = (int64_t)(number < 0 ? -left : left);
  return (int64_t)((number < 0) != (by < 0) ? -quotient : quotient);
}

#define DIVISION(type, wide, division, quotient, remainder) \
  type quotient(type number, type by);                      \
  type remainder(type number, type by);                     \
  type quotient(type number, type by) {                     \
    wide rest;                                              \
    return (type)division((wide)number, (wide)by, &rest);   \
  }                                                         \
  type remainder(type number, type by) {                    \
    wide rest;                                              \
    division((wide)number, (wide)by, &rest);                \
    return (type)rest;                                      \
  }
DIVISION(int32_t, int64_t, divided_signed, __hexagon_divsi3, __hexagon_modsi3)
DIVISION(uint32_t, uint64_t, divided, __hexagon_udivsi3, __hexagon_umodsi3)
DIVISION(int64_t, int64_t, divided_signed, __hexagon_divdi3, __hexagon_moddi3)
DIVISION(uint64_t, uint64_t, divided, __hexagon_udivdi3, __hexagon_umoddi3)

static void *take(size_t bytes) {
  size_t begin = used;
  if (bytes > ARENA_BYTES || bytes + 2 * LINE_BYTES > ARENA_BYTES - used) fail("memory", "the program has no more");
  used += (bytes + 2 * LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
  return arena + begin;
}

/* What kernels ask for; see services.h. Loops are run by the calling thread. */
typedef struct {
  void *sync_handle;
  int32_t num_task;
} group;
typedef int (*task)(int index, group *environment, void *data);

static int launch(task run, void *data, int tasks) {
  (void)tasks;
  group alone = {0, 1};
  return run(0, &alone, data);
}
static void *take_workspace(int type, int device, uint64_t bytes, int code, int bits) {
  (void)type, (void)device, (void)code, (void)bits;
  return take((size_t)bytes);
}
static int give_workspace(int type, int device, void *block) {
  (void)type, (void)device, (void)block;
  return 0;
}
static void set_error(const char *kind, const char *message) { fail(kind, message); }
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t number);
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t number) {
  fail(kind, number > 0 ? parts[0] : "");
}
extern void *__TVMBackendParallelLaunch __attribute__((weak));
extern void *__TVMBackendAllocWorkspace __attribute__((weak));
extern void *__TVMBackendFreeWorkspace __attribute__((weak));
extern void *__TVMFFIErrorSetRaisedFromCStr __attribute__((weak));

static void provide_services(void) {
  if (&__TVMBackendParallelLaunch) __TVMBackendParallelLaunch = (void *)launch;
  if (&__TVMBackendAllocWorkspace) __TVMBackendAllocWorkspace = (void *)take_workspace;
  if (&__TVMBackendFreeWorkspace) __TVMBackendFreeWorkspace = (void *)give_workspace;
  if (&__TVMFFIErrorSetRaisedFromCStr) __TVMFFIErrorSetRaisedFromCStr = (void *)set_error;
}

static size_t transfer(const char *path, int writes, char *memory, size_t bytes) {
  long file = system_call(OPENAT, AT_FDCWD, (long)path, writes ? CREATE : 0, OWN_FILE);
  if (file < 0) fail(path, "cannot be opened");
  size_t done = 0;
  while (done < bytes) {
    long moved = system_call(writes ? WRITE : READ, file, (long)(memory + done), (long)(bytes - done), 0);
    if (moved <= 0) break;
    done += (size_t)moved;
  }
  return done;
}

static long number_at(char **at) {
  long value = 0;
  while (**at == ' ') ++*at;
  if (**at < '0' || **at > '9') fail("the list of arguments", "expected a number");
  for (; **at >= '0' && **at <= '9'; ++*at) value = 10 * value + (**at - '0');
  return value;
}

static void read_line(char **at, argument *into) {
  long code = number_at(at), bits = number_at(at), rank = number_at(at);
  if (rank > MOST_RANK) fail("the list of arguments", "too many axes");
  size_t elements = 1;
  for (long axis = 0; axis < rank; ++axis) elements *= (size_t)(into->shape[axis] = number_at(at));
  while (**at == ' ') ++*at;
  into->path = *at;
  while (**at != '\n' && **at != '\0') ++*at;
  if (**at == '\n') *(*at)++ = '\0';
  into->bytes = elements * (size_t)bits / 8;
  into->tensor.data = take(into->bytes);
  into->tensor.device.type = FT_CPU;
  into->tensor.rank = (int32_t)rank;
  into->tensor.dtype.code = (uint8_t)code;
  into->tensor.dtype.bits = (uint8_t)bits;
  into->tensor.dtype.lanes = 1;
  into->tensor.shape = into->shape;
}

static void read_all(const char *path) {
  size_t bytes = transfer(path, 0, text, sizeof text - 1);
  char *at = text;
  while (at < text + bytes && *at != '\0' && count < MOST_ARGUMENTS) {
    argument *each = &arguments[count];
    read_line(&at, each);
    if (transfer(each->path, 0, each->tensor.data, each->bytes) != each->bytes) fail(each->path, "is too short");
    given[count].type = FT_TENSOR_POINTER;
    given[count++].pointer = &each->tensor;
  }
}

static int equal(const char *left, const char *right) {
  while (*left != '\0' && *left == *right) ++left, ++right;
  return *left == *right;
}

__attribute__((used, noreturn)) static void start(const long *stack) {
  char **word = (char **)(stack + 1);
  if (stack[0] != 6) fail("expected", "ENTRY THREADS NUMBER REPEATS FILE");
  const ft_entry *entry = ft_entries;
  while (entry->name != NULL && !equal(entry->name, word[1])) ++entry;
  if (entry->name == NULL) fail(word[1], "is no kernel of this program");
  provide_services();
  read_all(word[5]);
  ft_any result = {0, 0, NULL};
  system_call(FT_COUNT_FROM, 0, 0, 0, 0);
  int status = entry->kernel(NULL, given, count, &result);
  system_call(FT_COUNT_TO, 0, 0, 0, 0);
  if (status != 0) fail(word[1], "the kernel failed");
  for (int index = 0; index < count; ++index)
    if (transfer(arguments[index].path, 1, arguments[index].tensor.data, arguments[index].bytes) != arguments[index].bytes)
      fail(arguments[index].path, "could not be written whole");
  leave(0);
}

__asm__(".globl _start\n_start:\n{ r0 = r29\n r29 = and(r29, #-128)\n jump start }\n");
