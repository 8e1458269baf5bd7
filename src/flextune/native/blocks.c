/* See blocks.h. */
#define _GNU_SOURCE
#include "blocks.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.h"

enum { HUGE_PAGE_BYTES = 2 << 20 };

/* What follows the weights in a model's file (see flextune.apply.saved_library). */
typedef struct __attribute__((packed)) {
  uint32_t checksum;
  uint64_t signature_bytes;
  char magic[16];
} trailer;

static const char MAGIC[] = "flextune-model-2";

/* Memory on huge pages where there are any: streaming weights from small ones costs a page walk each 4 KB. */
char *ft_map_block(int64_t bytes) {
  size_t padded = (size_t)bytes + HUGE_PAGE_BYTES;
  char *block = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)block % HUGE_PAGE_BYTES;
  if (before > 0) munmap(block, before);
  if (HUGE_PAGE_BYTES - before > 0) munmap(block + before + (((size_t)bytes + 4095) & ~(size_t)4095),
                                           padded - before - (((size_t)bytes + 4095) & ~(size_t)4095));
  madvise(block + before, (size_t)bytes, MADV_HUGEPAGE);
  return block + before;
}

void ft_unmap_block(char *block, int64_t bytes) {
  if (block != NULL) munmap(block, ((size_t)bytes + 4095) & ~(size_t)4095);
}

static int read_fully(int file, char *into, int64_t bytes, int64_t offset) {
  while (bytes > 0) {
    ssize_t done = pread(file, into, (size_t)bytes, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    into += done;
    offset += done;
    bytes -= done;
  }
  return 0;
}

int ft_read_weights(int file, const char *path, int64_t bytes, char *into) {
  struct stat status;
  trailer end;
  if (fstat(file, &status) != 0) return ft_fail("cannot read %s: %s", path, strerror(errno));
  int64_t at = (int64_t)status.st_size - (int64_t)sizeof end;
  if (at < 0 || read_fully(file, (char *)&end, sizeof end, at) != 0 || memcmp(end.magic, MAGIC, sizeof end.magic) != 0 ||
      (uint64_t)at < end.signature_bytes + (uint64_t)bytes)
    return ft_fail("%s holds no weights: it is truncated or was stripped; compile the model again", path);
  if (read_fully(file, into, bytes, at - (int64_t)end.signature_bytes - bytes) != 0)
    return ft_fail("cannot read the weights in %s: %s", path, strerror(errno));
  return 0;
}
