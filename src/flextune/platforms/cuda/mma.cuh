// Fragments of mma.sync with 16 rows and 8 columns, loaded by ldmatrix where it can; PTX ISA, "Matrix fragments for mma".
namespace flextune {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision { struct tf32 {}; }
template <typename T> struct Stored { using type = T; };
template <> struct Stored<precision::tf32> { using type = float; };

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment;
template <int K, typename T, typename Layout> struct fragment<matrix_a, 16, 8, K, T, Layout> { unsigned r[4]; };
template <int K, typename T, typename Layout> struct fragment<matrix_b, 16, 8, K, T, Layout> { unsigned r[2]; };
template <int K, typename T> struct fragment<accumulator, 16, 8, K, T> { T x[4]; };
$half

template <typename T> __device__ __forceinline__ const T* at(const T* p, unsigned stride, int row, int column) {
  return p + row * stride + column;
}
__device__ __forceinline__ unsigned bits_of(const float* p) { return __float_as_uint(*p) & 0xffffe000u; }
__device__ __forceinline__ unsigned bits_of(const signed char* p) { return static_cast<unsigned char>(*p); }
__device__ __forceinline__ unsigned bits_of(const unsigned char* p) { return *p; }
template <typename T> __device__ __forceinline__ unsigned used_bits(unsigned r) { return r; }
template <> __device__ __forceinline__ unsigned used_bits<precision::tf32>(unsigned r) { return r & 0xffffe000u; }

__device__ __forceinline__ int lane() { return threadIdx.x; }

template <int K, typename T, typename P, typename S>
__device__ __forceinline__ void load_matrix(fragment<matrix_a, 16, 8, K, T, row_major>& f, P p, S stride) {
  const unsigned address = __cvta_generic_to_shared(at(p, stride, lane() % 16, lane() / 16 * (K / 2)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3]) : "r"(address) : "memory");
  for (int i = 0; i < 4; ++i) f.r[i] = used_bits<T>(f.r[i]);
}
template <int K, typename T, typename P, typename S>
__device__ __forceinline__ void load_matrix(fragment<matrix_b, 16, 8, K, T, col_major>& f, P p, S stride) {
  const unsigned address = __cvta_generic_to_shared(at(p, stride, lane() % 8, lane() / 8 % 2 * (K / 2)));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(f.r[0]), "=r"(f.r[1]) : "r"(address) : "memory");
  for (int i = 0; i < 2; ++i) f.r[i] = used_bits<T>(f.r[i]);
}
template <int K, typename T, typename P, typename S>
__device__ __forceinline__ void load_matrix(fragment<matrix_a, 16, 8, K, T, col_major>& f, P p, S stride) {
  if constexpr (sizeof(typename Stored<T>::type) == 2) {
    const unsigned address =
        __cvta_generic_to_shared(at(p, stride, lane() % 8 + lane() / 16 * 8, lane() / 8 % 2 * 8));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3]) : "r"(address) : "memory");
  } else {
    constexpr int per = 4 / sizeof(typename Stored<T>::type);
    for (int i = 0; i < 4; ++i) {
      f.r[i] = 0;
      for (int e = 0; e < per; ++e)
        f.r[i] |= bits_of(at(p, stride, lane() % 4 * per + e + i / 2 * (K / 2), lane() / 4 + i % 2 * 8)) << (e * 8);
    }
  }
}
template <int K, typename T, typename P, typename S>
__device__ __forceinline__ void load_matrix(fragment<matrix_b, 16, 8, K, T, row_major>& f, P p, S stride) {
  if constexpr (sizeof(typename Stored<T>::type) == 2) {
    const unsigned address = __cvta_generic_to_shared(at(p, stride, lane() % 16, 0));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(f.r[0]), "=r"(f.r[1]) : "r"(address) : "memory");
  } else {
    constexpr int per = 4 / sizeof(typename Stored<T>::type);
    for (int i = 0; i < 2; ++i) {
      f.r[i] = 0;
      for (int e = 0; e < per; ++e)
        f.r[i] |= bits_of(at(p, stride, lane() % 4 * per + e + i * (K / 2), lane() / 4)) << (e * 8);
    }
  }
}
template <int K, typename T, typename V>
__device__ __forceinline__ void fill_fragment(fragment<accumulator, 16, 8, K, T>& f, V value) {
  for (int i = 0; i < 4; ++i) f.x[i] = T(value);
}
template <int K, typename T>
__device__ __forceinline__ void store_matrix(T* p, const fragment<accumulator, 16, 8, K, T>& f, unsigned stride) {
  for (int i = 0; i < 4; ++i) p[(lane() / 4 + i / 2 * 8) * stride + lane() % 4 * 2 + i % 2] = f.x[i];
}
$multiply}  // namespace flextune
