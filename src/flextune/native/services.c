/* See services.h. Names and types of the services are TVM's (tvm/runtime/c_backend_api.h, tvm/ffi/c_api.h); a kernel
 * finds each through a pointer variable of its library. */
#define _GNU_SOURCE
#include "services.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pool.h"

enum { ALIGNMENT_BYTES = 64, KEPT_BLOCKS = 8, ERROR_BYTES = 400 };

/* Blocks of temporary memory that this thread has had before. Kernels ask for the same sizes again and again. They are
 * freed when the thread ends. */
static _Thread_local struct {
  void *block;
  uint64_t bytes;
  int taken;
} kept[KEPT_BLOCKS];

static pthread_key_t ending;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void free_kept(void *unused) {
  (void)unused;
  for (int index = 0; index < KEPT_BLOCKS; ++index) {
    free(kept[index].block);
    kept[index].block = NULL;
    kept[index].bytes = 0;
  }
}

static void prepare(void) { pthread_key_create(&ending, free_kept); }

static _Thread_local char kernel_error[ERROR_BYTES];

const char *ft_kernel_error(void) { return kernel_error[0] != '\0' ? kernel_error : "no reason given"; }

static void set_error(const char *kind, const char *message) {
  snprintf(kernel_error, sizeof kernel_error, "%s: %s", kind, message);
}

static void *allocate(uint64_t bytes) {
  void *block = NULL;
  return posix_memalign(&block, ALIGNMENT_BYTES, bytes + ALIGNMENT_BYTES) == 0 ? block : NULL;
}

static void *take_workspace(int device_type, int device, uint64_t bytes, int code, int bits) {
  (void)device_type, (void)device, (void)code, (void)bits;
  int smallest = 0;
  for (int index = 0; index < KEPT_BLOCKS; ++index) {
    if (kept[index].taken) continue;
    if (kept[index].bytes >= bytes && kept[index].block != NULL) {
      kept[index].taken = 1;
      return kept[index].block;
    }
    if (kept[smallest].taken || kept[index].bytes < kept[smallest].bytes) smallest = index;
  }
  void *block = allocate(bytes);
  pthread_once(&prepared, prepare);
  pthread_setspecific(ending, kept); /* anything but NULL: then the thread's end is told */
  if (block == NULL) {
    set_error("MemoryError", "no memory for temporary values");
  } else if (!kept[smallest].taken) {
    free(kept[smallest].block);
    kept[smallest].block = block;
    kept[smallest].bytes = bytes;
    kept[smallest].taken = 1;
  }
  return block;
}

static int give_workspace(int device_type, int device, void *block) {
  (void)device_type, (void)device;
  for (int index = 0; index < KEPT_BLOCKS; ++index) {
    if (kept[index].block != block) continue;
    kept[index].taken = 0;
    return 0;
  }
  free(block);
  return 0;
}

/* Called by name, and defined here for that. */
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count);

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  int used = snprintf(kernel_error, sizeof kernel_error, "%s: ", kind);
  for (int32_t index = 0; index < count && used >= 0 && used < (int)sizeof kernel_error; ++index)
    used += snprintf(kernel_error + used, sizeof kernel_error - (size_t)used, "%s", parts[index]);
}

extern void *__TVMBackendParallelLaunch __attribute__((weak));
extern void *__TVMBackendAllocWorkspace __attribute__((weak));
extern void *__TVMBackendFreeWorkspace __attribute__((weak));
extern void *__TVMFFIErrorSetRaisedFromCStr __attribute__((weak));

void ft_provide_services(void) {
  if (&__TVMBackendParallelLaunch) __TVMBackendParallelLaunch = (void *)ft_parallel_launch;
  if (&__TVMBackendAllocWorkspace) __TVMBackendAllocWorkspace = (void *)take_workspace;
  if (&__TVMBackendFreeWorkspace) __TVMBackendFreeWorkspace = (void *)give_workspace;
  if (&__TVMFFIErrorSetRaisedFromCStr) __TVMFFIErrorSetRaisedFromCStr = (void *)set_error;
}
