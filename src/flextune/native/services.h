/* What compiled kernels ask of their environment: threads, temporary memory, a place for error messages. */
#ifndef FLEXTUNE_SERVICES_H_
#define FLEXTUNE_SERVICES_H_

/* Sets the pointers through which the kernels of this library reach the services. */
void ft_provide_services(void);

/* The message of the last kernel of this thread that failed. */
const char *ft_kernel_error(void);

#endif
