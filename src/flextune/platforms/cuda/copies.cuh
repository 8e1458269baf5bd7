// Copies from global to shared memory that pass no register; offsets are in elements of so many bytes. A copy that is not
// valid writes zeros and reads nothing.
namespace flextune {
template <int Bytes, int To, int From>
__device__ __forceinline__ void copy_async(void* to, int to_offset, const void* from, int from_offset, bool valid = true) {
  const unsigned address = __cvta_generic_to_shared(static_cast<char*>(to) + to_offset * To);
  const char* source = static_cast<const char*>(from) + static_cast<long long>(from_offset) * From;
  const int read = valid ? Bytes : 0;
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(source), "n"(Bytes), "r"(read) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(source), "n"(Bytes), "r"(read) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Pending> __device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
}  // namespace flextune
