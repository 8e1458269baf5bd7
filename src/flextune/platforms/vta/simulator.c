/* A deterministic simulator of VTA (Moreau et al., "A Hardware-Software Blueprint for Flexible Deep Learning
 * Specialization", IEEE Micro 2019): executes a stream of instructions with exact results and counts cycles.
 *
 * Three modules - load, compute, store - take instructions from a queue each and go on at once. They wait for each
 * other by tokens alone. Whatever real hardware would do wrong without a word is a fault here, with the instruction's
 * number: a deadlock, an index outside of a buffer, an entry that was never written, an accumulator that is needed
 * again before the pipeline has written it, and two modules that touch one entry without a token between them.
 *
 * The last is found from the order that tokens force, not from the cycles of this run: each instruction has a vector
 * clock, how many instructions of each module are sure to have ended before it, and each entry of a buffer keeps who
 * wrote and read it last. So a token left out is found even where this run happens to go well.
 */
#include "machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const MODULE_NAMES[] = {"load", "compute", "store"};
const char *const MEMORY_NAMES[] = {"micro-op", "weight", "input", "accumulator", "output"};

int fail(struct machine *m, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(m->report->fault, sizeof m->report->fault, format, arguments);
  va_end(arguments);
  m->report->instruction = m->current;
  return 1;
}

/* ---- tokens ---- */

/* The channels of a module's four token bits; -1 where it has no such neighbour. */
static const int POP_PREVIOUS[] = {-1, LOAD_TO_COMPUTE, COMPUTE_TO_STORE};
static const int POP_NEXT[] = {COMPUTE_TO_LOAD, STORE_TO_COMPUTE, -1};
static const int PUSH_PREVIOUS[] = {-1, COMPUTE_TO_LOAD, STORE_TO_COMPUTE};
static const int PUSH_NEXT[] = {LOAD_TO_COMPUTE, COMPUTE_TO_STORE, -1};

/* When the tokens that an instruction waits for are all there; UINT64_MAX where one is not. */
static uint64_t tokens_ready(const struct machine *m, int module, const uint64_t *word) {
  const int wanted[] = {pops_previous(word) ? POP_PREVIOUS[module] : -1, pops_next(word) ? POP_NEXT[module] : -1};
  uint64_t ready = 0;
  for (int i = 0; i < 2; ++i) {
    if (wanted[i] < 0) continue;
    const struct channel *c = &m->channels[wanted[i]];
    if (!c->count) return UINT64_MAX;
    if (c->waiting[c->first].ready > ready) ready = c->waiting[c->first].ready;
  }
  return ready;
}

static void pop(struct machine *m, int module, int channel) {
  struct channel *c = &m->channels[channel];
  const struct clock *from = &c->waiting[c->first].clock;
  for (int i = 0; i < MODULES; ++i)
    if (from->done[i] > m->modules[module].clock.done[i]) m->modules[module].clock.done[i] = from->done[i];
  c->first = (c->first + 1) % m->hardware->tokens;
  --c->count;
}

static int push(struct machine *m, int module, int channel, uint64_t ready) {
  struct channel *c = &m->channels[channel];
  if (c->count == (uint32_t)m->hardware->tokens)
    return fail(m, "more than %d tokens wait for one module", m->hardware->tokens);
  c->waiting[(c->first + c->count++) % m->hardware->tokens] = (struct token){ready, m->modules[module].clock};
  return 0;
}

/* ---- the three modules, and what gives them instructions ---- */

/* Instructions are fetched in order; one whose queue is full keeps those behind it waiting. */
static void dispatch(struct machine *m) {
  uint64_t fetch = (INSTRUCTION_BYTES + m->hardware->bus_bytes - 1) / m->hardware->bus_bytes;
  while (m->dispatched < m->count) {
    struct module *to = &m->modules[module_of(m->program + 2 * (uint64_t)m->dispatched)];
    uint32_t room = m->hardware->queue;
    if (to->dispatched - to->started >= room) return;
    m->fetched += fetch;
    if (to->dispatched >= room && to->starts[to->dispatched - room] > m->fetched) m->fetched = to->starts[to->dispatched - room];
    to->program[to->dispatched] = m->dispatched++;
    to->available[to->dispatched++] = m->fetched;
  }
}

static uint64_t start_of(const struct machine *m, int number) {
  const struct module *module = &m->modules[number];
  if (module->started == module->dispatched) return UINT64_MAX;
  uint64_t start = tokens_ready(m, number, m->program + 2 * (uint64_t)module->program[module->started]);
  if (start == UINT64_MAX) return start;
  if (start < module->available[module->started]) start = module->available[module->started];
  return start > module->free ? start : module->free;
}

static int step(struct machine *m, int number, uint64_t start) {
  struct module *module = &m->modules[number];
  m->current = module->program[module->started];
  const uint64_t *word = m->program + 2 * (uint64_t)m->current;
  const int pops[] = {pops_previous(word) ? POP_PREVIOUS[number] : -2, pops_next(word) ? POP_NEXT[number] : -2};
  const int pushes[] = {pushes_previous(word) ? PUSH_PREVIOUS[number] : -2, pushes_next(word) ? PUSH_NEXT[number] : -2};
  for (int i = 0; i < 2; ++i)
    if (pops[i] == -1 || pushes[i] == -1) return fail(m, "has a token for a module that %s is not beside", MODULE_NAMES[number]);
  for (int i = 0; i < 2; ++i)
    if (pops[i] >= 0) pop(m, number, pops[i]);
  module->starts[module->started++] = start;
  module->clock.done[number] = module->started;
  if (execute(m, number, word, start)) return 1;
  for (int i = 0; i < 2; ++i)
    if (pushes[i] >= 0 && push(m, number, pushes[i], m->end)) return 1;
  m->report->busy[number] += m->end - start;
  module->free = m->end;
  if (m->end > m->report->cycles) m->report->cycles = m->end;
  return 0;
}

static int deadlock(struct machine *m) {
  for (int number = 0; number < MODULES; ++number) {
    const struct module *module = &m->modules[number];
    if (module->started == module->dispatched) continue;
    m->current = module->program[module->started];
    return fail(m, "deadlock: the %s module waits for a token that nobody will push", MODULE_NAMES[number]);
  }
  return fail(m, "deadlock"); /* cannot be: what was not dispatched waits for what was */
}

static int run(struct machine *m) {
  for (;;) {
    dispatch(m);
    int next = -1;
    uint64_t earliest = UINT64_MAX;
    for (int number = 0; number < MODULES; ++number) {
      uint64_t start = start_of(m, number);
      if (start < earliest) { earliest = start; next = number; }
    }
    if (next < 0) break;
    if (step(m, next, earliest)) return 1;
  }
  for (int number = 0; number < MODULES; ++number)
    if (m->modules[number].started < m->modules[number].count) return deadlock(m);
  m->current = m->count ? m->count - 1 : 0;
  return m->finished ? 0 : fail(m, "the program has no FINISH");
}

static int allocate(struct machine *m) {
  const int32_t entry_bytes[] = {4, WEIGHT_BYTES, BLOCK, ACCUMULATOR_BYTES, BLOCK * m->hardware->output_bytes};
  int lacks = 0;
  for (int i = 0; i < MEMORIES; ++i) {
    struct buffer *b = &m->buffers[i];
    b->entry_bytes = entry_bytes[i];
    b->bytes = calloc(m->hardware->entries[i], entry_bytes[i]);
    b->entries = calloc(m->hardware->entries[i], sizeof *b->entries);
    lacks |= !b->bytes || !b->entries;
  }
  for (int i = 0; i < CHANNELS; ++i)
    lacks |= !(m->channels[i].waiting = calloc(m->hardware->tokens, sizeof(struct token)));
  for (uint32_t i = 0; i < m->count; ++i) ++m->modules[module_of(m->program + 2 * (uint64_t)i)].count;
  for (int i = 0; i < MODULES; ++i) {
    struct module *module = &m->modules[i];
    lacks |= !(module->program = calloc(module->count + 1, sizeof *module->program));
    lacks |= !(module->available = calloc(module->count + 1, sizeof *module->available));
    lacks |= !(module->starts = calloc(module->count + 1, sizeof *module->starts));
  }
  return lacks | !(m->gemm_cycle = calloc(m->hardware->entries[MEMORY_ACCUMULATOR], sizeof *m->gemm_cycle));
}

static void release(struct machine *m) {
  for (int i = 0; i < MEMORIES; ++i) { free(m->buffers[i].bytes); free(m->buffers[i].entries); }
  for (int i = 0; i < CHANNELS; ++i) free(m->channels[i].waiting);
  for (int i = 0; i < MODULES; ++i) { free(m->modules[i].program); free(m->modules[i].available); free(m->modules[i].starts); }
  free(m->gemm_cycle);
}

/* Run `count` instructions on a memory whose bytes from `begin` to `end`, no further than all, take results. 0: right;
 * 1: see the report's fault; 2: no memory for the simulator. */
__attribute__((visibility("default")))
int vta_run(const struct vta_hardware *hardware, const uint64_t *program, uint32_t count, uint8_t *dram,
            uint64_t dram_bytes, uint64_t begin, uint64_t end, struct vta_report *report) {
  struct machine m = {.hardware = hardware, .program = program, .count = count, .dram = dram, .dram_bytes = dram_bytes,
                      .writable = {begin, end < dram_bytes ? end : dram_bytes}, .report = report};
  memset(report, 0, sizeof *report);
  report->instruction = -1;
  int outcome = allocate(&m) ? 2 : run(&m);
  release(&m);
  return outcome;
}
