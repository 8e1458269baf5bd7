#define _GNU_SOURCE
#include "core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const PLACE_NAMES[] = {"UB", "L1", "L0A", "L0B", "L0C", "BT"};
const char *const PIPE_NAMES[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};

struct run run;

_Noreturn void fault(const char *format, ...) {
  char text[192];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  snprintf(run.report->fault, sizeof run.report->fault, "%s on core %d: %s", run.operation, (int)run.block, text);
  longjmp(run.end, 1);
}

API void ascend_fault(const char *operation, const char *reason) {
  run.operation = operation;
  fault("%s", reason);
}

API int64_t ascend_block(void) { return run.block; }
API int64_t ascend_blocks(void) { return run.blocks; }

/* ---- Who has ended what. */

void issue(int pipe, const char *operation, double cycles) {
  run.operation = operation;
  run.known[pipe].done[pipe] = ++run.issued[pipe];
  if (run.known[pipe].cycle < run.known[SCALAR].cycle) /* it hands out all instructions, in order */
    run.known[pipe].cycle = run.known[SCALAR].cycle;
  run.known[pipe].cycle += cycles;
  run.report->busy[pipe] += cycles;
}

/* Pipes that start an instruction before the one ahead of it has written: the vector unit, and copies. */
static int needs_barrier(int pipe) { return pipe == VECTOR || pipe == MTE2; }

static void must_have_ended(int pipe, int other, uint32_t number, int place, const char *what) {
  if (!number)
    return;
  if (other == pipe) {
    if (needs_barrier(pipe) && number > run.barrier[pipe] && number != run.issued[pipe])
      fault("no barrier in %s after what %s this part of %s", PIPE_NAMES[pipe], what, PLACE_NAMES[place]);
  } else if (run.known[pipe].done[other] < number) {
    fault("%s does not wait for %s, which %s this part of %s", PIPE_NAMES[pipe], PIPE_NAMES[other], what,
          PLACE_NAMES[place]);
  }
}

static uint8_t *piece(struct ascend_local of, uint64_t from, uint64_t bytes) {
  if (from + bytes > of.bytes)
    fault("%llu bytes from byte %llu of a tensor of %u in %s", (unsigned long long)bytes, (unsigned long long)from,
          of.bytes, PLACE_NAMES[of.place]);
  return run.memories[of.place].bytes + of.offset + from;
}

const uint8_t *reads(int pipe, struct ascend_local of, uint64_t from, uint64_t bytes) {
  const uint8_t *found = piece(of, from, bytes);
  struct memory *memory = &run.memories[of.place];
  uint64_t first = of.offset + from;
  if (bytes && memchr(memory->written + first, 0, bytes))
    fault("reads what nothing wrote in %s", PLACE_NAMES[of.place]);
  for (uint64_t at = first / LINE; bytes && at <= (first + bytes - 1) / LINE; ++at) {
    struct line *line = &memory->lines[at];
    if (line->writer != PIPES)
      must_have_ended(pipe, line->writer, line->written, of.place, "wrote");
    line->read[pipe] = run.issued[pipe];
  }
  return found;
}

uint8_t *writes(int pipe, struct ascend_local of, uint64_t from, uint64_t bytes) {
  uint8_t *found = piece(of, from, bytes);
  struct memory *memory = &run.memories[of.place];
  uint64_t first = of.offset + from;
  memset(memory->written + first, 1, bytes);
  for (uint64_t at = first / LINE; bytes && at <= (first + bytes - 1) / LINE; ++at) {
    struct line *line = &memory->lines[at];
    for (int other = 0; other < PIPES; ++other)
      if (line->read[other] && other != pipe)
        must_have_ended(pipe, other, line->read[other], of.place, "read");
    if (line->writer != PIPES)
      must_have_ended(pipe, line->writer, line->written, of.place, "wrote");
    line->writer = pipe;
    line->written = run.issued[pipe];
  }
  return found;
}

API int ascend_token(int pipe) {
  if (run.token_count == run.token_room) {
    int room = run.token_room ? 2 * run.token_room : 1024;
    struct knowledge *larger = realloc(run.tokens, room * sizeof *larger);
    if (!larger)
      longjmp(run.end, 2);
    run.tokens = larger, run.token_room = room;
  }
  run.tokens[run.token_count] = run.known[pipe];
  return run.token_count++;
}

API void ascend_join(int pipe, int token) {
  const struct knowledge *other = &run.tokens[token];
  struct knowledge *own = &run.known[pipe];
  for (int each = 0; each < PIPES; ++each)
    if (each != pipe && own->done[each] < other->done[each])
      own->done[each] = other->done[each];
  if (run.barrier[pipe] < other->done[pipe]) /* of its own, for which the other pipe waited */
    run.barrier[pipe] = other->done[pipe];
  if (own->cycle < other->cycle)
    own->cycle = other->cycle;
}

static int *event_of(int from, int to, int event) {
  if (event < 0 || event >= EVENTS)
    fault("there is no event %d", event);
  return &run.events[from][to][event];
}

API void ascend_set(int from, int to, int event) {
  run.operation = "SetFlag";
  int *found = event_of(from, to, event);
  if (*found)
    fault("event %d from %s to %s is set again before it was waited for", event, PIPE_NAMES[from], PIPE_NAMES[to]);
  *found = ascend_token(from) + 1;
}

API void ascend_wait(int from, int to, int event) {
  run.operation = "WaitFlag";
  int *found = event_of(from, to, event);
  if (!*found)
    fault("%s waits for event %d of %s, which is not set: it would wait forever", PIPE_NAMES[to], event,
          PIPE_NAMES[from]);
  ascend_join(to, *found - 1);
  *found = 0;
}

API void ascend_barrier(int pipe) { run.barrier[pipe] = run.issued[pipe]; }

API struct ascend_local ascend_take(int place, uint32_t bytes) {
  run.operation = "InitBuffer";
  struct memory *memory = &run.memories[place];
  uint32_t room = (bytes + LINE - 1) / LINE * LINE;
  if (room > run.chip->bytes[place] - memory->used)
    fault("%s holds %u bytes, not %u", PLACE_NAMES[place], run.chip->bytes[place], memory->used + room);
  struct ascend_local taken = {place, memory->used, bytes};
  memory->used += room;
  return taken;
}

API struct ascend_local ascend_part(struct ascend_local whole, uint64_t offset) {
  if (offset > whole.bytes)
    ascend_fault("operator[]", "begins beyond its tensor");
  struct ascend_local part = {whole.place, whole.offset + (uint32_t)offset, whole.bytes - (uint32_t)offset};
  return part;
}

API float ascend_value(struct ascend_local from, uint32_t index) {
  issue(SCALAR, "GetValue", 1);
  float value;
  memcpy(&value, reads(SCALAR, from, (uint64_t)index * sizeof value, sizeof value), sizeof value);
  return value;
}

/* ---- A run. */

static int make_memories(void) {
  for (int place = 0; place < PLACES; ++place) {
    uint32_t bytes = run.chip->bytes[place];
    struct memory *memory = &run.memories[place];
    memory->bytes = aligned_alloc(64, (bytes + 63) / 64 * 64);
    memory->written = malloc(bytes);
    memory->lines = malloc((bytes / LINE + 1) * sizeof *memory->lines);
    if (!memory->bytes || !memory->written || !memory->lines)
      return 0;
  }
  return 1;
}

static void begin_core(int64_t block) {
  run.block = block, run.token_count = 0, run.operation = "the kernel";
  memset(run.known, 0, sizeof run.known);
  memset(run.issued, 0, sizeof run.issued);
  memset(run.barrier, 0, sizeof run.barrier);
  memset(run.events, 0, sizeof run.events);
  for (int place = 0; place < PLACES; ++place) {
    struct memory *memory = &run.memories[place];
    uint32_t bytes = run.chip->bytes[place];
    memset(memory->bytes, 0xff, bytes); /* NaN in all types of floating point */
    memset(memory->written, 0, bytes);
    memset(memory->lines, 0, (bytes / LINE + 1) * sizeof *memory->lines);
    for (uint32_t line = 0; line <= bytes / LINE; ++line)
      memory->lines[line].writer = PIPES;
    memory->used = 0;
  }
}

static void end_core(void) {
  run.operation = "the end";
  for (int from = 0; from < PIPES; ++from)
    for (int to = 0; to < PIPES; ++to)
      for (int event = 0; event < EVENTS; ++event)
        if (run.events[from][to][event])
          fault("event %d from %s to %s was set and never waited for", event, PIPE_NAMES[from], PIPE_NAMES[to]);
  for (int pipe = 0; pipe < PIPES; ++pipe)
    if (run.report->cycles < run.known[pipe].cycle)
      run.report->cycles = run.known[pipe].cycle;
}

API int ascend_run(const struct ascend_chip *chip, void (*kernel)(uint8_t **), uint8_t **arguments,
                   const uint64_t *sizes, int count, struct ascend_report *report) {
  memset(&run, 0, sizeof run);
  memset(report, 0, sizeof *report);
  run.chip = chip, run.report = report, run.blocks = chip->blocks;
  run.arguments = arguments, run.sizes = sizes, run.argument_count = count;
  int outcome = make_memories() ? setjmp(run.end) : 2;
  if (!outcome) {
    for (volatile int64_t block = 0; block < chip->blocks; ++block) {
      begin_core(block);
      kernel(arguments);
      end_core();
    }
    double shared = (double)report->global_bytes / chip->global_rate;
    if (report->cycles < shared)
      report->cycles = shared;
  }
  for (int place = 0; place < PLACES; ++place) {
    free(run.memories[place].bytes);
    free(run.memories[place].written);
    free(run.memories[place].lines);
  }
  free(run.tokens);
  return outcome;
}
