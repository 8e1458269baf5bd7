/* See pool.h.
 *
 * A launch writes one cache line (struct job) and increments `generation`; threads that wait for it see that by polling
 * and claim their task by a compare-and-swap. A task that nobody has claimed when the launching thread is done with its
 * own is run by the launching thread, so a thread that the operating system took away delays nothing.
 *
 * Waiting threads poll for a while and then sleep on a futex. They poll longer while a model runs (ft_begin_run): the
 * next parallel loop is then microseconds away, and waking a sleeping thread costs tens of them.
 */
#define _GNU_SOURCE
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CACHE_LINE_BYTES = 64, POLLS_BEFORE_YIELD = 2048, POLLS_PER_LOOK_AT_CLOCK = 256 };
static const int64_t POLL_NANOSECS_IN_RUN = 5000000;
static const int64_t POLL_NANOSECS = 300000;

/* The latest launch. All but `generation` may be read while they change; whoever then succeeds in claiming a task of
 * the generation that was read before them has read what belongs to it, because a launch does not end, and the next
 * one does not begin, before every task has been claimed and has ended. */
static struct {
  _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t generation;
  _Atomic int32_t tasks;
  _Atomic(ft_task) task;
  _Atomic(void *) data;
} job;

/* One for each thread. `claim` is 2 * generation while the task of that number is to be had. */
static struct {
  _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t claim;
  _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t asleep;
} seats[FT_MAX_THREADS];

static _Alignas(CACHE_LINE_BYTES) _Atomic int32_t pending;
static _Atomic int32_t failed;
static _Alignas(CACHE_LINE_BYTES) _Atomic int32_t runs;
static _Atomic int32_t started; /* threads of the pool, without the launching one */
static _Atomic int32_t latest_wanted = 1;
static atomic_flag busy = ATOMIC_FLAG_INIT;
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int inside; /* a task */
static _Thread_local int wanted;
static _Thread_local int alone;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("" ::: "memory");
#endif
}

static int64_t nanosecs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int claim(int index, uint32_t generation) {
  uint64_t open = (uint64_t)generation * 2;
  return atomic_load_explicit(&seats[index].claim, memory_order_relaxed) == open &&
         atomic_compare_exchange_strong_explicit(&seats[index].claim, &open, open + 1, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

static void run_claimed(ft_task task, void *data, int index, int tasks) {
  ft_group group = {NULL, tasks};
  if (task(index, &group, data) != 0) atomic_store_explicit(&failed, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&pending, 1, memory_order_release);
}

/* Blocks until woken, unless there has been a launch since `seen`. */
static void sleep_in(int seat, uint32_t seen) {
  atomic_store(&seats[seat].asleep, 1);
  while (atomic_load(&job.generation) == seen && atomic_load(&seats[seat].asleep) == 1)
    syscall(SYS_futex, &seats[seat].asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
  atomic_store(&seats[seat].asleep, 0);
}

static void wake(int tasks) {
  for (int seat = 1; seat < tasks; ++seat)
    if (atomic_load(&seats[seat].asleep) && atomic_exchange(&seats[seat].asleep, 0))
      syscall(SYS_futex, &seats[seat].asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static uint32_t next_generation(int seat, uint32_t seen) {
  int64_t since = 0;
  for (uint32_t polls = 1;; ++polls) {
    uint32_t now = atomic_load_explicit(&job.generation, memory_order_acquire);
    if (now != seen) return now;
    relax();
    if (polls % POLLS_PER_LOOK_AT_CLOCK != 0) continue;
    int64_t clock = nanosecs();
    if (since == 0) since = clock;
    if (clock - since > (atomic_load(&runs) > 0 ? POLL_NANOSECS_IN_RUN : POLL_NANOSECS)) {
      sleep_in(seat, seen);
      since = 0;
    } else if (polls % POLLS_BEFORE_YIELD == 0) {
      sched_yield();
    }
  }
}

static void *work(void *argument) {
  int seat = (int)(intptr_t)argument;
  uint32_t seen = 0;
  pthread_setname_np(pthread_self(), "flextune");
  inside = 1;
  for (;;) {
    seen = next_generation(seat, seen);
    int tasks = atomic_load_explicit(&job.tasks, memory_order_relaxed);
    ft_task task = atomic_load_explicit(&job.task, memory_order_relaxed);
    void *data = atomic_load_explicit(&job.data, memory_order_relaxed);
    if (seat >= tasks) sleep_in(seat, seen); /* not needed for as many threads as are in use now */
    for (int index = seat; index < tasks; ++index)
      if (claim(index, seen)) run_claimed(task, data, index, tasks);
  }
  return NULL;
}

static void forget_threads(void) { /* in a forked child only the forking thread is left */
  pthread_mutex_init(&starting, NULL);
  for (int seat = 0; seat < FT_MAX_THREADS; ++seat) atomic_store(&seats[seat].asleep, 0);
  atomic_store(&started, 0);
  atomic_store(&runs, 0);
  atomic_flag_clear(&busy);
  inside = 0;
}

static void start_threads(int threads) {
  static int prepared;
  pthread_mutex_lock(&starting);
  if (!prepared) pthread_atfork(NULL, NULL, forget_threads);
  prepared = 1;
  for (int seat = atomic_load(&started) + 1; seat < threads; ++seat) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)seat) != 0) break;
    pthread_detach(thread);
    atomic_store(&started, seat);
  }
  pthread_mutex_unlock(&starting);
}

int ft_use_threads(int threads) {
  int available = atomic_load(&started) + 1;
  wanted = threads < 1 ? 1 : threads > FT_MAX_THREADS ? FT_MAX_THREADS : threads;
  atomic_store(&latest_wanted, wanted);
  if (wanted > available) start_threads(wanted);
  available = atomic_load(&started) + 1;
  return wanted < available ? wanted : available;
}

void ft_run_alone(int is_alone) { alone = is_alone; }

void ft_begin_run(void) {
  if (atomic_fetch_add(&runs, 1) == 0 && wanted > 1) wake(wanted);
}

void ft_end_run(void) { atomic_fetch_sub(&runs, 1); }

static uint32_t publish(ft_task task, void *data, int tasks) {
  uint32_t next = atomic_load_explicit(&job.generation, memory_order_relaxed) + 1;
  atomic_store_explicit(&job.task, task, memory_order_relaxed);
  atomic_store_explicit(&job.data, data, memory_order_relaxed);
  atomic_store_explicit(&job.tasks, tasks, memory_order_relaxed);
  atomic_store_explicit(&pending, tasks - 1, memory_order_relaxed);
  for (int index = 1; index < tasks; ++index)
    atomic_store_explicit(&seats[index].claim, (uint64_t)next * 2, memory_order_relaxed);
  atomic_store(&job.generation, next); /* in one order with the writing of `asleep` */
  wake(tasks);
  return next;
}

static void wait_for_others(void) {
  for (uint32_t polls = 1; atomic_load_explicit(&pending, memory_order_acquire) != 0; ++polls) {
    relax();
    if (polls % POLLS_BEFORE_YIELD == 0) sched_yield();
  }
}

int ft_parallel_launch(ft_task task, void *data, int count) {
  int tasks = count > 0 ? count : wanted > 0 ? wanted : atomic_load(&latest_wanted);
  ft_group group = {NULL, 1};
  if (tasks > FT_MAX_THREADS) tasks = FT_MAX_THREADS;
  if (tasks == 1 || alone || inside || atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
    return task(0, &group, data) == 0 ? 0 : -1;
  inside = 1;
  group.num_task = tasks;
  uint32_t generation = publish(task, data, tasks);
  int status = task(0, &group, data);
  for (int index = 1; index < tasks; ++index)
    if (claim(index, generation)) run_claimed(task, data, index, tasks);
  wait_for_others();
  if (atomic_exchange_explicit(&failed, 0, memory_order_relaxed)) status = -1;
  atomic_flag_clear_explicit(&busy, memory_order_release);
  inside = 0;
  return status == 0 ? 0 : -1;
}
