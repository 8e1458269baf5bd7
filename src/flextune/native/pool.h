/* A pool of threads that runs the parallel loops of compiled kernels. One per library, created on first use. */
#ifndef FLEXTUNE_POOL_H_
#define FLEXTUNE_POOL_H_

#include <stdint.h>

/* What a kernel's parallel loop is given: TVM's TVMParallelGroupEnv and FTVMParallelLambda (c_backend_api.h). */
typedef struct {
  void *sync_handle;
  int32_t num_task;
} ft_group;

typedef int (*ft_task)(int index, ft_group *group, void *data);

/* Runs task(0) .. task(count - 1) and returns when all have ended: 0, or -1 when one of them failed.
 * A count of 0 means one task for each thread of the calling thread's setting. A call from inside a task, and one made
 * while another thread uses the pool, runs all of its tasks on the calling thread. */
int ft_parallel_launch(ft_task task, void *data, int count);

/* How many threads (the caller counts) the parallel loops of the calling thread use from now on: 1 .. FT_MAX_THREADS.
 * Threads that are missing are started. Returns the number that loops will get. */
int ft_use_threads(int threads);

/* Whether the calling thread runs its parallel loops alone from now on. */
void ft_run_alone(int alone);

/* Between these two, idle threads of the pool wait for work without sleeping. Calls nest and may come from any thread. */
void ft_begin_run(void);
void ft_end_run(void);

enum { FT_MAX_THREADS = 256 };

#endif
