/* Digests of memory, by which a change of its contents is noticed: NH (Black et al., UMAC, 1999) of every block.

   Two contents of a block that differ have equal digests with a probability of at most 2^-32 over the choice of keys. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_BYTES 16384
#define STEP_BYTES 64

typedef uint32_t words __attribute__((vector_size(16)));
typedef uint64_t sums __attribute__((vector_size(16)));

static inline sums product(const unsigned char *data, const unsigned char *keys) {
    words left, right;
    memcpy(&left, data, sizeof(left));
    memcpy(&right, keys, sizeof(right));
    sums mixed = (sums)(left + right);
    return (mixed & 0xffffffffu) * (mixed >> 32);
}

static uint64_t block_digest(const unsigned char *data, size_t bytes, const unsigned char *keys) {
    sums totals[4] = {{0}, {0}, {0}, {0}}; /* independent of each other, so that no addition waits for another */
    size_t done = 0;
    for (; done + STEP_BYTES <= bytes; done += STEP_BYTES)
#pragma GCC unroll 4
        for (size_t part = 0; part < 4; part++)
            totals[part] += product(data + done + 16 * part, keys + done + 16 * part);
    if (done < bytes) {
        unsigned char rest[STEP_BYTES] = {0};
        memcpy(rest, data + done, bytes - done);
        for (size_t part = 0; part < 4; part++) totals[part] += product(rest + 16 * part, keys + done + 16 * part);
    }
    sums total = totals[0] + totals[1] + totals[2] + totals[3];
    return total[0] + total[1];
}

/* Writes one digest for every started block of every region, in order. `keys` are BLOCK_BYTES random bytes. */
__attribute__((visibility("default"))) void ft_digest(
    size_t count, const unsigned char *const *regions, const size_t *bytes, const unsigned char *keys, uint64_t *digests) {
    for (size_t region = 0; region < count; region++)
        for (size_t begin = 0; begin < bytes[region]; begin += BLOCK_BYTES) {
            size_t left = bytes[region] - begin;
            *digests++ = block_digest(regions[region] + begin, left < BLOCK_BYTES ? left : BLOCK_BYTES, keys);
        }
}
