/* The functions of libcuda that flextune calls, on the CPU: memory is the host's, a kernel named "copy" copies its second
   argument to its first, and every call is counted. FAKE_CUDA_FAIL names a function that fails, with code 700 or 2. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
static size_t allocated;
static int launches, flushes, events;
static char function_name[64];
static size_t copied_bytes = 64;

static CUresult fails(const char *name) {
  const char *wanted = getenv("FAKE_CUDA_FAIL");
  if (!wanted || strcmp(wanted, name)) return 0;
  return strcmp(name, "cuMemAlloc_v2") ? 700 : 2;
}

CUresult cuInit(unsigned flags) { return flags ? 1 : fails("cuInit"); }
CUresult cuDriverGetVersion(int *version) { *version = getenv("FAKE_CUDA_OLD") ? 11040 : 13000; return 0; }
CUresult cuGetErrorString(CUresult code, const char **text) {
  *text = code == 2 ? "out of memory" : "an illegal memory access was encountered";
  return 0;
}
CUresult cuDeviceGetCount(int *count) { *count = getenv("FAKE_CUDA_NONE") ? 0 : 2; return 0; }
CUresult cuDeviceGet(int *device, int index) { *device = index; return 0; }
CUresult cuDeviceGetName(char *name, int size, int device) {
  strncpy(name, device ? "NVIDIA H200" : "NVIDIA A100-SXM4-80GB", size);
  return 0;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)80 << 30; return device > 1; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 1: *value = 1024; break;
    case 10: *value = 32; break;
    case 16: *value = device ? 132 : 108; break;
    case 36: *value = 1593000; break;
    case 37: *value = 5120; break;
    case 38: *value = 4096; break;
    case 75: *value = device ? 9 : 8; break;
    case 76: *value = 0; break;
    case 82: *value = 65536; break;
    case 97: *value = device ? 232448 : 166912; break;
    default: return 1;
  }
  return 0;
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)(uintptr_t)(device + 1); return 0; }
CUresult cuCtxSetCurrent(void *context) { return context ? 0 : 1; }
CUresult cuMemAlloc_v2(uint64_t *pointer, size_t size) {
  CUresult code = fails("cuMemAlloc_v2");
  if (code) return code;
  size_t *block = malloc(size + 64);
  block[0] = size;
  allocated += size;
  *pointer = (uint64_t)(uintptr_t)block + 64;
  return 0;
}
CUresult cuMemFree_v2(uint64_t pointer) {
  size_t *block = (size_t *)(uintptr_t)(pointer - 64);
  allocated -= block[0];
  free(block);
  return 0;
}
CUresult cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) { memcpy((void *)(uintptr_t)to, from, size); return 0; }
CUresult cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) { memcpy(to, (void *)(uintptr_t)from, size); return 0; }
CUresult cuMemsetD8Async(uint64_t to, unsigned char byte, size_t size, void *stream) {
  memset((void *)(uintptr_t)to, byte, size);
  ++flushes;
  return stream != 0;
}
CUresult cuModuleLoadData(void **module, const void *image) {
  if (memcmp(image, "cubin", 5)) return 200;
  *module = (void *)1;
  return 0;
}
CUresult cuModuleUnload(void *module) { return module != (void *)1; }
CUresult cuModuleGetFunction(void **function, void *module, const char *name) {
  strncpy(function_name, name, 63);
  *function = (void *)2;
  return module != (void *)1 || !strstr("copy gemm finish", name);
}
CUresult cuFuncSetAttribute(void *function, int attribute, int value) { return function != (void *)2 || attribute != 8 || value > 166912; }
CUresult cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, void *stream, void **arguments, void **extra) {
  if (function != (void *)2 || stream || extra || !gx || !gy || !gz || bx * by * bz > 1024 || shared > 166912) return 1;
  memcpy((void *)(uintptr_t)*(uint64_t *)arguments[0], (void *)(uintptr_t)*(uint64_t *)arguments[1], copied_bytes);
  ++launches;
  return 0;
}
CUresult cuCtxSynchronize(void) { return fails("cuCtxSynchronize"); }
CUresult cuEventCreate(void **event, unsigned flags) { *event = (void *)(uintptr_t)++events; return flags; }
CUresult cuEventDestroy_v2(void *event) { --events; return !event; }
CUresult cuEventRecord(void *event, void *stream) { return !event || stream; }
CUresult cuEventSynchronize(void *event) { return !event; }
CUresult cuEventElapsedTime(float *milliseconds, void *start, void *end) { *milliseconds = 2.0f * launches; launches = 0; return start == end; }

size_t fake_allocated(void) { return allocated; }
int fake_flushes(void) { return flushes; }
int fake_events(void) { return events; }
