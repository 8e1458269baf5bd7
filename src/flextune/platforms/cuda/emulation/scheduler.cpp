// Runs the launches of a plan: a block at a time, a fiber per thread, switched at barriers. Built without ThreadSanitizer,
// which is told of barriers by hand (EMU_TSAN).
//
//   kernel ORDER EAGER FILE...   ORDER: 0 forward, 1 backward, 2 shuffled at every barrier; EAGER: asynchronous copies
//                                land at once instead of when they are waited for; a file per buffer, read and written
#include "device.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#ifdef EMU_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#else
static void* __tsan_get_current_fiber() { return nullptr; }
static void* __tsan_create_fiber(unsigned) { return nullptr; }
static void __tsan_switch_to_fiber(void*, unsigned) {}
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

extern const emu::Launch emu_launches[];
extern const int emu_launch_count;
void emu_copy(char* to, const char* from, int bytes, int valid);  // with the kernels, so that its accesses are seen as theirs

namespace emu {

Index thread_index, block_index, block_size, grid_size;
int lane, warp;
char* shared_memory;

namespace {

enum class State { ready, block_barrier, warp_barrier, done };
constexpr int kCopies = 256;
struct Copy { char* to; const char* from; int bytes, valid, group; };
struct Thread {
  ucontext_t context;
  void* tsan = nullptr;
  State state = State::ready;
  Index index{};
  int lane = 0, warp = 0, open_group = 0;
  int copy_count = 0;
  Copy copies[kCopies];  // no vector: ThreadSanitizer takes its allocations by a fiber for races
};

constexpr size_t kStack = 192 << 10;
constexpr unsigned kNoOrder = 1;  // a switch of fibers orders nothing: only barriers do

std::vector<Thread> threads;
std::vector<std::unique_ptr<char[]>> stacks;
std::vector<std::unique_ptr<char[]>> keys;  // what ThreadSanitizer knows barriers by: new ones for every block
std::vector<std::unique_ptr<uint32_t[]>> mails;  // new ones for every block, too
std::vector<void*> fibers;  // ThreadSanitizer's, one for each thread of a block: making them is slow
ucontext_t scheduler;
void* scheduler_tsan;
Thread* current;
void (*kernel)(char**);
char** buffers;
bool eager;
long matrix_reads, bank_cycles;
char begun, ended;

void land(const Copy& c) {
  emu_copy(c.to, c.from, c.bytes, c.valid);
}

// memory that ends where a page begins that nobody may touch, and begins after one: past its ends a kernel crashes
char* guarded(size_t size) {
  const size_t page = sysconf(_SC_PAGESIZE), used = (size + 127) / 128 * 128, whole = (used + page - 1) / page * page;
  char* p = static_cast<char*>(mmap(nullptr, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (p == MAP_FAILED || mprotect(p + page, whole, PROT_READ | PROT_WRITE)) unsupported("out of memory");
  return p + page + whole - used;
}

void* key_of(State state) {
  if (state == State::done) return &ended;
  return keys.back().get() + (state == State::warp_barrier ? 1 + current->warp : 0);
}

void to_scheduler(State state) {
  Thread& me = *current;
  me.state = state;
  void* key = key_of(state);
  __tsan_release(key);
  __tsan_switch_to_fiber(scheduler_tsan, kNoOrder);
  swapcontext(&me.context, &scheduler);
  __tsan_acquire(key);
}

void entry() {
  __tsan_acquire(&begun);
  kernel(buffers);
  to_scheduler(State::done);
}

void start(Thread& t, int i) {
  t.index = {i % block_size.x, i / block_size.x % block_size.y, i / (block_size.x * block_size.y)};
  t.lane = i % 32, t.warp = i / 32;
  getcontext(&t.context);
  t.context.uc_stack.ss_sp = stacks[i].get();
  t.context.uc_stack.ss_size = kStack;
  t.context.uc_link = nullptr;
  makecontext(&t.context, entry, 0);
  t.tsan = fibers[i];
}

bool free_waiting(State which, int of_warp) {
  bool any = false;
  auto concerned = [&](Thread& t) { return (of_warp < 0 || t.warp == of_warp) && t.state != State::done; };
  for (auto& t : threads) {
    if (!concerned(t)) continue;
    if (t.state != which) return false;
    any = true;
  }
  for (auto& t : threads)
    if (any && concerned(t)) t.state = State::ready;
  return any;
}

void resume(Thread& t) {
  current = &t;
  thread_index = t.index, lane = t.lane, warp = t.warp;
  __tsan_switch_to_fiber(t.tsan, kNoOrder);
  swapcontext(&scheduler, &t.context);
}

void run_block(int order, std::mt19937& random) {
  const int count = block_size.x * block_size.y * block_size.z;
  threads = std::vector<Thread>(count);
  keys.push_back(std::make_unique<char[]>(1 + count / 32 + 1));
  while (int(stacks.size()) < count) stacks.emplace_back(new char[kStack]);
  mails.push_back(std::make_unique<uint32_t[]>((count + 31) / 32 * 32 * 8));
  while (int(fibers.size()) < count) fibers.push_back(__tsan_create_fiber(0));
  scheduler_tsan = __tsan_get_current_fiber();
  for (int i = 0; i < count; ++i) start(threads[i], i);
  __tsan_release(&begun);
  std::vector<int> turn(count);
  for (int i = 0; i < count; ++i) turn[i] = order == 1 ? count - 1 - i : i;
  for (bool alive = true; alive;) {
    if (order == 2) std::shuffle(turn.begin(), turn.end(), random);
    alive = false;
    for (int i : turn)
      if (threads[i].state == State::ready) alive = true, resume(threads[i]);
    bool freed = false;
    for (int w = 0; w * 32 < count; ++w) freed |= free_waiting(State::warp_barrier, w);
    alive |= freed || free_waiting(State::block_barrier, -1);
  }
  for (auto& t : threads) {
    if (t.state != State::done) std::fprintf(stderr, "EMU: threads wait at different barriers\n"), std::exit(3);
    if (t.copy_count && t.open_group) std::fprintf(stderr, "EMU: a copy is never waited for\n"), std::exit(4);
  }
}

void run(const Launch& launch, int order) {
  std::mt19937 random(7);
  grid_size = launch.grid, block_size = launch.block, kernel = launch.kernel;
  for (int z = 0; z < grid_size.z; ++z)
    for (int y = 0; y < grid_size.y; ++y)
      for (int x = 0; x < grid_size.x; ++x) {
        block_index = {x, y, z};
        shared_memory = guarded(launch.shared_bytes);  // kept to the end: see `ended`
        std::memset(shared_memory, 0xFF, launch.shared_bytes);  // NaN in every floating point format
        run_block(order, random);
      }
  __tsan_acquire(&ended);  // only here, so that blocks are not ordered among themselves
}

}  // namespace

void sync_block() { to_scheduler(State::block_barrier); }
void sync_warp() { to_scheduler(State::warp_barrier); }
void cp_async(uint32_t to, const void* from, int bytes, int valid) {
  if (to % bytes || reinterpret_cast<uintptr_t>(from) % bytes) unsupported("misaligned asynchronous copy");
  const Copy copy{shared_pointer(to), static_cast<const char*>(from), bytes, valid, current->open_group};
  if (eager) land(copy);
  else if (current->copy_count == kCopies) unsupported("too many copies under way");
  else current->copies[current->copy_count++] = copy;
}
// banks have 16 bytes of every 128: rows in the same ones, but for those at one address, are read one after the other
void count_matrix_read(const uint32_t* rows) {
  int used[8] = {};
  for (int i = 0; i < 8; ++i)
    if (std::find(rows, rows + i, rows[i]) == rows + i) ++used[rows[i] / 16 % 8];
  ++matrix_reads, bank_cycles += *std::max_element(used, used + 8);
}
void commit_group() { ++current->open_group; }
void wait_group(int pending) {
  const int due = current->open_group - pending;
  int left = 0;
  for (int i = 0; i < current->copy_count; ++i)
    if (current->copies[i].group < due) land(current->copies[i]);
    else current->copies[left++] = current->copies[i];
  current->copy_count = left;
}
uint32_t* mail(int of_lane) { return &mails.back()[(warp * 32 + of_lane) * 8]; }
void unsupported(const char* what) {
  std::fprintf(stderr, "EMU: %s\n", what);
  std::exit(5);
}

}  // namespace emu

int main(int argc, char** argv) {
  const int order = std::atoi(argv[1]);
  emu::eager = std::atoi(argv[2]) != 0;
  std::vector<char*> data;
  std::vector<size_t> sizes;
  for (int i = 3; i < argc; ++i) {
    FILE* f = std::fopen(argv[i], "rb");
    if (!f) return 2;
    std::fseek(f, 0, SEEK_END);
    const size_t n = std::ftell(f);
    std::rewind(f);
    char* p = emu::guarded(n);
    if (std::fread(p, 1, n, f) != n) return 2;
    std::fclose(f);
    data.push_back(p), sizes.push_back(n);
  }
  emu::buffers = data.data();
  for (int i = 0; i < emu_launch_count; ++i) emu::run(emu_launches[i], order);
  for (size_t i = 0; i < data.size(); ++i) {
    FILE* f = std::fopen(argv[3 + i], "wb");
    std::fwrite(data[i], 1, sizes[i], f);
    std::fclose(f);
  }
  std::printf("%ld %ld\n", emu::matrix_reads, emu::bank_cycles);
}
