/* A program that runs kernels from files of numbers: in an emulator, or on a board. It needs nothing there. */
#ifndef FLEXTUNE_KERNEL_PROGRAM_H_
#define FLEXTUNE_KERNEL_PROGRAM_H_

#include "program.h"

typedef struct {
  const char *name;
  ft_kernel kernel;
} ft_entry;

/* The kernels that the program has, the last with a null name; generated for each program. */
extern const ft_entry ft_entries[];

/* Numbers of system calls that no system has, between which a plugin of the emulator counts; elsewhere they do nothing. */
enum { FT_COUNT_FROM = 0x7f01, FT_COUNT_TO = 0x7f02 };

#endif
