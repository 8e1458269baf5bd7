// nvcuda::wmma on a CPU. A fragment is spread over the lanes as on a GPU: lane l holds elements l, l + 32, ... of the tile,
// one arrangement of those that the hardware may choose, so what depends on an arrangement does not pass unnoticed.
#pragma once
#include "device.h"
namespace nvcuda::wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision { struct tf32 {}; }
enum layout_t { mem_row_major, mem_col_major };
inline float __float_to_tf32(float v) {
  uint32_t u;
  std::memcpy(&u, &v, 4);
  u = (u + 0x1000) & ~0x1fffu;
  std::memcpy(&v, &u, 4);
  return v;
}

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment {
  static constexpr int rows = std::is_same_v<Use, matrix_b> ? K : M, columns = std::is_same_v<Use, matrix_a> ? K : N;
  static constexpr int num_elements = rows * columns / 32;
  static constexpr bool whole = std::is_same_v<T, int> || std::is_same_v<T, signed char> || std::is_same_v<T, unsigned char>;
  using Value = std::conditional_t<whole, int, float>;
  Value x[num_elements];
};

inline void meet() { emu::sync_warp(); }

template <typename U, int M, int N, int K, typename T, typename L, typename V>
void fill_fragment(fragment<U, M, N, K, T, L>& f, V v) {
  for (auto& x : f.x) x = typename fragment<U, M, N, K, T, L>::Value(v);
}
inline void check(const void* p, unsigned stride, size_t size) {
  if (reinterpret_cast<uintptr_t>(p) % 32 || stride * size % 16) emu::unsupported("a fragment at an address or stride that wmma does not take");
}
template <typename U, int M, int N, int K, typename T, typename L, typename P>
void load_matrix_sync(fragment<U, M, N, K, T, L>& f, const P* p, unsigned stride) {
  check(p, stride, sizeof(P));
  meet();
  for (int e = 0; e < f.num_elements; ++e) {
    const int at = e * 32 + emu::lane, i = at / f.columns, j = at % f.columns;
    f.x[e] = typename fragment<U, M, N, K, T, L>::Value(std::is_same_v<L, col_major> ? p[j * stride + i] : p[i * stride + j]);
  }
  meet();
}

template <int M, int N, int K, typename TA, typename TB, typename TC, typename LA, typename LB, typename LC>
void mma_sync(fragment<accumulator, M, N, K, TC, LC>& d, const fragment<matrix_a, M, N, K, TA, LA>& a,
              const fragment<matrix_b, M, N, K, TB, LB>& b, const fragment<accumulator, M, N, K, TC, LC>& c) {
  using A = fragment<matrix_a, M, N, K, TA, LA>;
  using B = fragment<matrix_b, M, N, K, TB, LB>;
  using D = fragment<accumulator, M, N, K, TC, LC>;
  typename A::Value whole_a[M * K];
  typename B::Value whole_b[K * N];
  // eight words at a time are shown to the other lanes
  auto gather = [](const auto* mine, auto* whole, int count) {
    for (int e = 0; e < count; e += 8) {
      const int part = count - e < 8 ? count - e : 8;
      std::memcpy(emu::mail(emu::lane), mine + e, 4 * part);
      meet();
      for (int l = 0; l < 32; ++l)
        for (int i = 0; i < part; ++i) std::memcpy(whole + (e + i) * 32 + l, emu::mail(l) + i, 4);
      meet();
    }
  };
  gather(a.x, whole_a, A::num_elements);
  gather(b.x, whole_b, B::num_elements);
  typename D::Value result[D::num_elements];
  for (int e = 0; e < D::num_elements; ++e) {
    const int at = e * 32 + emu::lane, i = at / N, j = at % N;
    auto sum = c.x[e];
    for (int k = 0; k < K; ++k) sum += whole_a[i * K + k] * whole_b[k * N + j];
    result[e] = sum;
  }
  for (int e = 0; e < D::num_elements; ++e) d.x[e] = result[e];
}
template <typename U, int M, int N, int K, typename T, typename L, typename P>
void store_matrix_sync(P* p, const fragment<U, M, N, K, T, L>& f, unsigned stride, layout_t layout) {
  check(p, stride, sizeof(P));
  meet();
  for (int e = 0; e < f.num_elements; ++e) {
    const int at = e * 32 + emu::lane, i = at / f.columns, j = at % f.columns;
    (layout == mem_col_major ? p[j * stride + i] : p[i * stride + j]) = P(f.x[e]);
  }
  meet();
}
}  // namespace nvcuda::wmma
