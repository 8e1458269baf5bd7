// Tiles of operands whose pieces of 16 bytes are exchanged within 128, so that any eight neighbouring rows of a power of two
// of bytes, 16 to 1024, have the pieces of one column in different banks: ldmatrix reads them at once, and rows need no
// padding. The exchange depends on the address alone, so whoever writes a tile and whoever reads it agree.
namespace flextune {
template <typename T> __device__ __forceinline__ T* swizzled(T* p) {
  const unsigned a = __cvta_generic_to_shared(p), moved = a ^ ((a >> 7 ^ a >> 10) & 7) << 4;
  return (T*)((char*)p + (static_cast<int>(moved) - static_cast<int>(a)));  // from the pointer: it is known to be shared
}
struct SwizzledStride {
  unsigned elements;
  __device__ __forceinline__ explicit SwizzledStride(unsigned stride) : elements(stride) {}
};
template <typename T> __device__ __forceinline__ const T* at(const T* p, SwizzledStride stride, int row, int column) {
  return swizzled(p + row * stride.elements + column);
}
template <int Bytes, int To, int From>
__device__ __forceinline__ void copy_swizzled(void* to, int to_offset, const void* from, int from_offset, bool valid = true) {
  copy_async<Bytes, 1, From>(swizzled(static_cast<char*>(to) + to_offset * To), 0, from, from_offset, valid);
}
}  // namespace flextune
