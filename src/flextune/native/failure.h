/* The message behind flextune_last_error(). */
#ifndef FLEXTUNE_FAILURE_H_
#define FLEXTUNE_FAILURE_H_

/* Keeps what went wrong for this thread; returns -1. */
int ft_fail(const char *format, ...) __attribute__((format(printf, 1, 2), visibility("hidden")));

#endif
