// Fragments of nvcuda::wmma, by the names that generated source uses for all fragments.
namespace flextune {
template <typename U, int M, int N, int K, typename T, typename L, typename P>
__device__ __forceinline__ void load_matrix(nvcuda::wmma::fragment<U, M, N, K, T, L>& f, const P* p, unsigned stride) {
  nvcuda::wmma::load_matrix_sync(f, p, stride);
}
// bfloat16 is stored as uint16
template <typename U, int M, int N, int K, typename L>
__device__ __forceinline__ void load_matrix(nvcuda::wmma::fragment<U, M, N, K, __nv_bfloat16, L>& f, const unsigned short* p,
                                            unsigned stride) {
  nvcuda::wmma::load_matrix_sync(f, reinterpret_cast<const __nv_bfloat16*>(p), stride);
}
// what is below the bits of tf32 is not read: what an instruction does with it is not specified
template <typename U, int M, int N, int K, typename L>
__device__ __forceinline__ void load_matrix(nvcuda::wmma::fragment<U, M, N, K, nvcuda::wmma::precision::tf32, L>& f,
                                            const float* p, unsigned stride) {
  nvcuda::wmma::load_matrix_sync(f, p, stride);
  for (int i = 0; i < f.num_elements; ++i) f.x[i] = __uint_as_float(__float_as_uint(f.x[i]) & 0xffffe000u);
}
template <int M, int N, int K, typename T, typename V>
__device__ __forceinline__ void fill_fragment(nvcuda::wmma::fragment<nvcuda::wmma::accumulator, M, N, K, T>& f, V value) {
  nvcuda::wmma::fill_fragment(f, T(value));
}
template <int M, int N, int K, typename A, typename B, typename C, typename LA, typename LB>
__device__ __forceinline__ void multiply(nvcuda::wmma::fragment<nvcuda::wmma::accumulator, M, N, K, C>& d,
                                         const nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, M, N, K, A, LA>& a,
                                         const nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, M, N, K, B, LB>& b,
                                         const nvcuda::wmma::fragment<nvcuda::wmma::accumulator, M, N, K, C>& c) {
  nvcuda::wmma::mma_sync(d, a, b, c);
}
template <int M, int N, int K, typename T>
__device__ __forceinline__ void store_matrix(T* p, const nvcuda::wmma::fragment<nvcuda::wmma::accumulator, M, N, K, T>& f,
                                             unsigned stride) {
  nvcuda::wmma::store_matrix_sync(p, f, stride, nvcuda::wmma::mem_row_major);
}
}  // namespace flextune
