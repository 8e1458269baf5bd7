// Runs a simulated overlay on commands and operands from standard input, and writes the cycles and results.
//
// In:  three 32-bit counts (loads, steps, results) and the latency, then the commands, then the operands' lines in the
//      order of loads. A load is {is_b, slot, lines, 0}; a step {slot_a, slot_b, words, flags}, with bits first, last,
//      free a, free b. Out: a 64-bit number of cycles, then the results. Exits with 3 where nothing moves any more.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <vector>

#include "Voverlay.h"
#include "verilated.h"

struct Command { uint32_t first, second, count, flags; };
struct Burst { uint64_t begin; uint32_t lines; };

template <class Element> static std::vector<Element> read_all(size_t count) {
  std::vector<Element> values(count);
  if (count && fread(values.data(), sizeof(Element), count, stdin) != count) exit(2);
  return values;
}

int main() {
  const auto head = read_all<uint32_t>(4);
  const auto loads = read_all<Command>(head[0]), steps = read_all<Command>(head[1]);
  size_t lines = 0;
  for (const auto &load : loads) lines += load.count;
  const auto data = read_all<uint8_t>(lines * BUS);
  std::vector<int32_t> results;
  results.reserve(head[2]);
  Voverlay top;
  const auto tick = [&] { top.clk = 0; top.eval(); top.clk = 1; top.eval(); };
  top.reset = 1;
  top.load_valid = top.step_valid = top.data_valid = 0;
  tick();
  top.reset = 0;
  std::deque<Burst> bursts;
  size_t load = 0, step = 0, line = 0;
  uint64_t cycle = 0, moved = 0;
  while (results.size() < head[2]) {
    top.load_valid = load < loads.size();
    if (top.load_valid) { top.load_is_b = loads[load].first; top.load_slot = loads[load].second; top.load_lines = loads[load].count; }
    top.step_valid = step < steps.size();
    if (top.step_valid) {
      top.step_a = steps[step].first; top.step_b = steps[step].second; top.step_words = steps[step].count;
      top.step_first = steps[step].flags & 1; top.step_last = steps[step].flags >> 1 & 1;
      top.step_free_a = steps[step].flags >> 2 & 1; top.step_free_b = steps[step].flags >> 3 & 1;
    }
    top.data_valid = !bursts.empty() && bursts.front().begin <= cycle;
    if (top.data_valid) {
      memcpy(&top.data, &data[line++ * BUS], BUS);
      if (!--bursts.front().lines) bursts.pop_front();
    }
    top.clk = 0;
    top.eval();
    const bool load_accepted = top.load_accepted, step_accepted = top.step_accepted;
    top.clk = 1;
    top.eval();
    ++cycle;
    if (load_accepted) bursts.push_back({cycle + head[3], loads[load++].count});
    step += step_accepted;
    if (top.result_valid) {
      int32_t sums[RESULTS];
      memcpy(sums, &top.results, sizeof sums);
      results.insert(results.end(), sums, sums + RESULTS);
    }
    if (load_accepted || step_accepted || top.data_valid || top.result_valid) moved = cycle;
    if (cycle - moved > 200000 + uint64_t(head[3])) return 3;
  }
  fwrite(&cycle, sizeof cycle, 1, stdout);
  fwrite(results.data(), sizeof(int32_t), results.size(), stdout);
  return 0;
}
