template <typename LA, typename LB>
__device__ __forceinline__ void multiply(
    fragment<accumulator, 16, 8, 16, half>& d, const fragment<matrix_a, 16, 8, 16, half, LA>& a,
    const fragment<matrix_b, 16, 8, 16, half, LB>& b, const fragment<accumulator, 16, 8, 16, half>& c) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%8, %9};"
               : "=r"(d.r[0]), "=r"(d.r[1])
               : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]), "r"(c.r[0]), "r"(c.r[1]));
}
template <typename V> __device__ __forceinline__ void fill_fragment(fragment<accumulator, 16, 8, 16, half>& f, V value) {
  half pair[2] = {half(value), half(value)};
  for (int i = 0; i < 2; ++i) memcpy(&f.r[i], pair, 4);
}
__device__ __forceinline__ void store_matrix(half* p, const fragment<accumulator, 16, 8, 16, half>& f, unsigned stride) {
  for (int i = 0; i < 2; ++i) memcpy(p + (lane() / 4 + i * 8) * stride + lane() % 4 * 2, &f.r[i], 4);
}
