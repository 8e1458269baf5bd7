// CUDA device code on a CPU, as the kernels' translation unit sees it. Barriers are where fibers switch, so a missing one
// shows as poison in shared memory; built with -fsanitize=thread, every data race is reported.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define __CUDA_ARCH__ 800
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

namespace emu {

struct Index { int x, y, z; };
struct Launch { void (*kernel)(char** buffers); Index grid, block; size_t shared_bytes; };

extern Index thread_index, block_index, block_size, grid_size;
extern int lane, warp;
extern char* shared_memory;

void sync_block();
void sync_warp();
uint32_t* mail(int lane);  // 8 words of each lane of this warp, which all of its lanes see
void count_matrix_read(const uint32_t* rows);  // the addresses of its eight rows of 16 bytes
void cp_async(uint32_t to, const void* from, int bytes, int valid);
void commit_group();
void wait_group(int pending);
[[noreturn]] void unsupported(const char* what);

inline void* shared(size_t offset) { return shared_memory + offset; }
inline uint32_t shared_address(const void* p) { return uint32_t(static_cast<const char*>(p) - shared_memory); }
inline char* shared_pointer(uint32_t a) { return shared_memory + a; }

// a load or store of several elements: misaligned ones end a kernel on a GPU
template <typename T> T* aligned(T* p) {
  if (reinterpret_cast<uintptr_t>(p) % alignof(T)) unsupported("misaligned access");
  return p;
}

template <typename T> T shuffle(T value, int from) {
  static_assert(sizeof(T) == 4);
  std::memcpy(mail(lane), &value, 4);
  sync_warp();
  T got;
  std::memcpy(&got, mail(from), 4);
  sync_warp();
  return got;
}

}  // namespace emu

#define threadIdx emu::thread_index
#define blockIdx emu::block_index
#define blockDim emu::block_size
#define gridDim emu::grid_size
#define __syncthreads() emu::sync_block()
#define __syncwarp(...) emu::sync_warp()
#define __cvta_generic_to_shared(p) emu::shared_address(p)
#define __shfl_sync(m, v, l, w) emu::shuffle(v, (emu::lane & ~((w) - 1)) | ((l) & ((w) - 1)))
#define __shfl_xor_sync(m, v, x, w) emu::shuffle(v, emu::lane ^ (x))
#define __shfl_down_sync(m, v, d, w) emu::shuffle(v, emu::lane % (w) + (d) < (w) ? emu::lane + (d) : emu::lane)
#define __shfl_up_sync(m, v, d, w) emu::shuffle(v, emu::lane % (w) >= (d) ? emu::lane - (d) : emu::lane)
#define __activemask() 0xffffffffu

// half precision: kept in 16 bits, computed in float32 and rounded to the nearest even, as the hardware does
struct half {
  _Float16 bits;
  half() = default;
  half(float v) : bits(_Float16(v)) {}
  half(double v) : bits(_Float16(v)) {}
  half(int v) : bits(_Float16(v)) {}
  operator float() const { return float(bits); }
};
inline half operator+(half a, half b) { return half(float(a) + float(b)); }
inline half operator-(half a, half b) { return half(float(a) - float(b)); }
inline half operator*(half a, half b) { return half(float(a) * float(b)); }
inline half operator/(half a, half b) { return half(float(a) / float(b)); }
inline half __float2half_rn(float v) { return half(v); }
inline float __half2float(half v) { return float(v); }

struct nv_bfloat16 {
  uint16_t bits;
  nv_bfloat16() = default;
  nv_bfloat16(float v) {
    uint32_t u;
    std::memcpy(&u, &v, 4);
    bits = v != v ? 0x7fff : uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  operator float() const {
    uint32_t u = uint32_t(bits) << 16;
    float v;
    std::memcpy(&v, &u, 4);
    return v;
  }
};
using __nv_bfloat16 = nv_bfloat16;
inline float __bfloat162float(nv_bfloat16 v) { return float(v); }
inline nv_bfloat16 __float2bfloat16(float v) { return nv_bfloat16(v); }
inline nv_bfloat16 __float2bfloat16_rn(float v) { return nv_bfloat16(v); }
using __half = half;

#define EMU_VECTOR(name, type)                                                                             \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                                \
  struct name##3 { type x, y, z; };                                                                        \
  struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; };            \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                        \
  inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                             \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMU_VECTOR(char, signed char)
EMU_VECTOR(uchar, unsigned char)
EMU_VECTOR(short, short)
EMU_VECTOR(ushort, unsigned short)
EMU_VECTOR(int, int)
EMU_VECTOR(uint, unsigned int)
EMU_VECTOR(longlong, long long)
EMU_VECTOR(ulonglong, unsigned long long)
EMU_VECTOR(float, float)
EMU_VECTOR(double, double)
#undef EMU_VECTOR
struct alignas(4) half2 { half x, y; };
struct alignas(8) half4 { half x, y, z, w; };
inline half2 make_half2(half x, half y) { return {x, y}; }
inline half4 make_half4(half x, half y, half z, half w) { return {x, y, z, w}; }
#define uint unsigned int
#define uchar unsigned char
#define ushort unsigned short

inline float rsqrtf(float v) { return 1.0f / std::sqrt(v); }
inline float __expf(float v) { return std::exp(v); }
inline float __uint_as_float(unsigned v) { float f; std::memcpy(&f, &v, 4); return f; }
inline unsigned __float_as_uint(float v) { unsigned u; std::memcpy(&u, &v, 4); return u; }
