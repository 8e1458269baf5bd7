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
  using Value = std::conditional_t<whole, int, std::conditional_t<std::is_same_v<T, half>, half, float>>;
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
  // eight elements at a time are shown to the other lanes
  auto gather = [](const auto* mine, auto* whole, int count) {
    constexpr size_t size = sizeof(*mine);
    for (int e = 0; e < count; e += 8) {
      const int part = count - e < 8 ? count - e : 8;
      std::memcpy(emu::mail(emu::lane), mine + e, size * part);
      meet();
      for (int l = 0; l < 32; ++l)
        for (int i = 0; i < part; ++i) std::memcpy(whole + (e + i) * 32 + l, (char*)emu::mail(l) + i * size, size);
      meet();
    }
  };
  gather(a.x, whole_a, A::num_elements);
  gather(b.x, whole_b, B::num_elements);
  typename D::Value result[D::num_elements];
  for (int e = 0; e < D::num_elements; ++e) {
    const int at = e * 32 + emu::lane, i = at / N, j = at % N;
    using Sum = std::conditional_t<D::whole, int, float>;
    Sum sum = c.x[e];
    for (int k = 0; k < K; ++k) sum += Sum(whole_a[i * K + k]) * Sum(whole_b[k * N + j]);
    result[e] = typename D::Value(sum);
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

// ldmatrix and mma.sync, registers as PTX ISA 8 lays them out
namespace emu {
struct tf32 {
  uint32_t bits;
  operator float() const {
    float v;
    const uint32_t u = bits & ~0x1fffu;
    std::memcpy(&v, &u, 4);
    return v;
  }
};

// lane l gives the address of row l % 8 of matrix l / 8
template <int Count, bool Transposed, typename... Registers>
void ldmatrix(uint32_t address, Registers&... registers) {
  static_assert(sizeof...(Registers) == Count);
  if (lane < 8 * Count && address % 16) unsupported("ldmatrix at an address that is no multiple of 16");
  mail(lane)[0] = address;
  sync_warp();
  uint32_t* out[] = {&registers...};
  for (int m = 0; lane == 0 && m < Count; ++m) {
    uint32_t rows[8];
    for (int row = 0; row < 8; ++row) rows[row] = mail(m * 8 + row)[0];
    count_matrix_read(rows);
  }
  for (int m = 0; m < Count; ++m)
    for (int half = 0; half < 2; ++half) {
      const int row = Transposed ? lane % 4 * 2 + half : lane / 4, column = Transposed ? lane / 4 : lane % 4 * 2 + half;
      const uint16_t v = *reinterpret_cast<const uint16_t*>(shared_pointer(mail(m * 8 + row)[0]) + column * 2);
      std::memcpy(reinterpret_cast<char*>(out[m]) + half * 2, &v, 2);
    }
  sync_warp();
}

template <int K, typename A, typename B, typename Sum>
void mma_m16n8(Sum& d0, Sum& d1, Sum& d2, Sum& d3, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1,
               Sum c0, Sum c1, Sum c2, Sum c3) {
  const uint32_t shown[] = {a0, a1, a2, a3, b0, b1};
  std::memcpy(mail(lane), shown, sizeof(shown));
  sync_warp();
  auto at = [&]<typename T>(T*, int of_lane, int word, int part) {
    T v;
    std::memcpy(&v, reinterpret_cast<char*>(mail(of_lane) + word) + part * sizeof(T), sizeof(T));
    return Sum(v);
  };
  static_assert(sizeof(A) == sizeof(B));
  constexpr int per = 4 / sizeof(A);  // elements of a register
  const Sum c[] = {c0, c1, c2, c3};
  Sum result[4];
  for (int e = 0; e < 4; ++e) {
    const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
    Sum sum = c[e];
    for (int k = 0; k < K; ++k) {
      const int half = k / (K / 2), quad = k % (K / 2) / per, part = k % per;
      sum += at((A*)nullptr, row % 8 * 4 + quad, half * 2 + row / 8, part) * at((B*)nullptr, column * 4 + quad, 4 + half, part);
    }
    result[e] = sum;
  }
  sync_warp();
  d0 = result[0], d1 = result[1], d2 = result[2], d3 = result[3];
}

// two sums in a register, rounded once for each product of matrices
template <int K>
void mma_m16n8_half(uint32_t& d0, uint32_t& d1, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1,
                    uint32_t c0, uint32_t c1) {
  half sums[4];
  std::memcpy(sums, &c0, 4), std::memcpy(sums + 2, &c1, 4);
  float wide[4] = {sums[0], sums[1], sums[2], sums[3]};
  mma_m16n8<K, half, half, float>(wide[0], wide[1], wide[2], wide[3], a0, a1, a2, a3, b0, b1, wide[0], wide[1], wide[2], wide[3]);
  for (int i = 0; i < 4; ++i) sums[i] = half(wide[i]);
  std::memcpy(&d0, sums, 4), std::memcpy(&d1, sums + 2, 4);
}
}  // namespace emu
