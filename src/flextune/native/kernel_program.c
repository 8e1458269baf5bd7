/* See kernel_program.h.
 *
 *   program ENTRY THREADS NUMBER REPEATS FILE
 *
 * FILE says what the kernel is called with, one argument a line: type code, bits, rank, the shape, and the name of a file
 * with its elements. The kernel is called once, and all arguments are written back. Then REPEATS times it is called NUMBER
 * times more, and the seconds of one call are printed, one repeat a line. */
#define _GNU_SOURCE
#include "kernel_program.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"
#include "services.h"

enum { MOST_ARGUMENTS = 64, MOST_RANK = 16, ALIGNMENT_BYTES = 128, PATH_BYTES = 1024 };

typedef struct {
  ft_tensor tensor;
  int64_t shape[MOST_RANK];
  size_t bytes;
  char path[PATH_BYTES];
} argument;

static argument arguments[MOST_ARGUMENTS];
static ft_any given[MOST_ARGUMENTS];
static int count;

static int fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  return 2;
}

static int read_line(FILE *file, argument *into) {
  int code, bits, rank;
  if (fscanf(file, "%d %d %d", &code, &bits, &rank) != 3) return 0;
  if (rank < 0 || rank > MOST_RANK) return -1;
  size_t elements = 1;
  for (int axis = 0; axis < rank; ++axis) {
    if (fscanf(file, "%" SCNd64, &into->shape[axis]) != 1 || into->shape[axis] < 0) return -1;
    elements *= (size_t)into->shape[axis];
  }
  if (fscanf(file, " %1023[^\n]", into->path) != 1) return -1;
  into->bytes = elements * (size_t)bits / 8;
  void *memory = NULL;
  if (posix_memalign(&memory, ALIGNMENT_BYTES, into->bytes + ALIGNMENT_BYTES) != 0) return -1;
  into->tensor = (ft_tensor){memory, {FT_CPU, 0}, rank, {(uint8_t)code, (uint8_t)bits, 1}, into->shape, NULL, 0};
  return 1;
}

static int transfer(argument *each, int writes) {
  FILE *file = fopen(each->path, writes ? "wb" : "rb");
  if (file == NULL) return 0;
  size_t done = writes ? fwrite(each->tensor.data, 1, each->bytes, file) : fread(each->tensor.data, 1, each->bytes, file);
  return (fclose(file) == 0) & (done == each->bytes);
}

static int transfer_all(int writes) {
  for (int index = 0; index < count; ++index)
    if (!transfer(&arguments[index], writes)) return fail(arguments[index].path, "could not be read or written whole");
  return 0;
}

static int read_all(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) return fail(path, "cannot be read");
  int found = 1;
  while (count < MOST_ARGUMENTS && (found = read_line(file, &arguments[count])) == 1) {
    given[count] = (ft_any){FT_TENSOR_POINTER, 0, &arguments[count].tensor};
    ++count;
  }
  fclose(file);
  return found == 0 ? transfer_all(0) : fail(path, "is no list of arguments, or there is no memory for them");
}

static int call(ft_kernel kernel) {
  ft_any result = {0, 0, NULL};
  return kernel(NULL, given, count, &result) == 0 ? 0 : fail("the kernel failed", ft_kernel_error());
}

static int call_counted(ft_kernel kernel) {
  syscall(FT_COUNT_FROM);
  int status = call(kernel);
  syscall(FT_COUNT_TO);
  return status;
}

static int call_timed(ft_kernel kernel, int number) {
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int each = 0; each < number; ++each)
    if (call(kernel) != 0) return 2;
  clock_gettime(CLOCK_MONOTONIC, &end);
  double secs = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
  printf("%.9g\n", secs / number);
  return 0;
}

static ft_kernel kernel_named(const char *name) {
  for (const ft_entry *each = ft_entries; each->name != NULL; ++each)
    if (strcmp(each->name, name) == 0) return each->kernel;
  return NULL;
}

int main(int words, char **word) {
  if (words != 6) return fail("expected", "ENTRY THREADS NUMBER REPEATS FILE");
  ft_kernel kernel = kernel_named(word[1]);
  if (kernel == NULL) return fail(word[1], "is no kernel of this program");
  ft_provide_services();
  ft_use_threads(atoi(word[2]));
  int status = read_all(word[5]);
  if (status == 0) status = call_counted(kernel);
  if (status == 0) status = transfer_all(1);
  for (int repeat = 0; status == 0 && repeat < atoi(word[4]); ++repeat) status = call_timed(kernel, atoi(word[3]));
  return status;
}
