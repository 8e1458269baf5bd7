/* The large blocks of memory of a model: its weights and activations. */
#ifndef FLEXTUNE_BLOCKS_H_
#define FLEXTUNE_BLOCKS_H_

#include <stdint.h>

/* Zeroed memory; NULL where there is none. */
char *ft_map_block(int64_t bytes);
void ft_unmap_block(char *block, int64_t bytes);

/* Reads the weights, which are so large, from a model's file that is open; `path` is for messages. 0, or -1. */
int ft_read_weights(int file, const char *path, int64_t bytes, char *into);

#endif
