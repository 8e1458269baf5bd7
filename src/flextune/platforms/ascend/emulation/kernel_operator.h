// Stands in for Ascend C's header of this name, so that g++ compiles a kernel that an emulation of one core executes.
//
// It has the part of the interface that generated kernels use, written from Huawei's public documentation of Ascend C
// (CANN 8, "Ascend C API") for the processors with cube and vector cores apart (Atlas A2); what it accepts was never
// compared with CANN. Memory is copied by the calls of `emulation.h`, which check every access.
#pragma once

#include <math.h>
#include <stdint.h>

#include "emulation.h"

#define __aicore__
#define __global__
#define __cube__
#define __vector__
#define __gm__

using half = _Float16;
using GM_ADDR = uint8_t *;

enum pipe_t { PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_FIX };
enum event_t { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };
enum class QuantMode_t { NoQuant, F322F16 };

namespace AscendC {

enum class TPosition { GM, VECIN, VECOUT, VECCALC, A1, B1, C1, A2, B2, C2, CO1 };

constexpr int place_of(TPosition position) {
  switch (position) {
  case TPosition::A1:
  case TPosition::B1:
  case TPosition::C1: return L1;
  case TPosition::A2: return L0A;
  case TPosition::B2: return L0B;
  case TPosition::C2: return BT;
  case TPosition::CO1: return L0C;
  default: return UB;
  }
}

enum class HardEvent { MTE2_MTE1, MTE1_MTE2, MTE1_M, M_MTE1, M_FIX, FIX_M, MTE2_V, V_MTE2, V_MTE3, MTE3_V, V_S, S_V };

struct Ends {
  int from, to;
};
constexpr Ends ENDS[] = {{MTE2, MTE1}, {MTE1, MTE2},   {MTE1, CUBE},   {CUBE, MTE1},   {CUBE, FIX},      {FIX, CUBE},
                         {MTE2, VECTOR}, {VECTOR, MTE2}, {VECTOR, MTE3}, {MTE3, VECTOR}, {VECTOR, SCALAR}, {SCALAR, VECTOR}};

template <HardEvent event> void SetFlag(int id) { ascend_set(ENDS[int(event)].from, ENDS[int(event)].to, id); }
template <HardEvent event> void WaitFlag(int id) { ascend_wait(ENDS[int(event)].from, ENDS[int(event)].to, id); }
template <pipe_t pipe> void PipeBarrier() { ascend_barrier(pipe); }

inline int64_t GetBlockIdx() { return ascend_block(); }
inline int64_t GetBlockNum() { return ascend_blocks(); }

template <class T> struct GlobalTensor {
  T *data = nullptr;
  uint64_t count = 0;

  void SetGlobalBuffer(T *begin, uint64_t elements) { data = begin, count = elements; }

  GlobalTensor operator[](uint64_t index) const {
    if (index > count)
      ascend_fault("operator[]", "begins beyond its global tensor");
    GlobalTensor part;
    part.data = data + index, part.count = count - index;
    return part;
  }

  uint8_t *bytes() const { return (uint8_t *)data; }
};

template <class T> struct LocalTensor {
  ascend_local local;

  LocalTensor operator[](uint64_t index) const { return {ascend_part(local, index * sizeof(T))}; }
  T GetValue(uint32_t index) const {
    static_assert(sizeof(T) == 4, "only float32 is emulated");
    return ascend_value(local, index);
  }
};

template <TPosition position> struct TBuf {
  ascend_local whole;
  template <class T> LocalTensor<T> Get() { return {whole}; }
};

// What EnQue and FreeTensor say to the other pipe, DeQue and AllocTensor wait for.
template <TPosition position, int depth> struct TQue {
  static constexpr int producer = position == TPosition::VECIN ? int(MTE2) : int(VECTOR);
  static constexpr int consumer = position == TPosition::VECIN ? int(VECTOR) : int(MTE3);

  struct Slot {
    ascend_local local;
    int token; // -1 before the first use
  };
  Slot free_slots[depth], full_slots[depth];
  int free_count, full_count;

  static Slot first(Slot *slots, int &count, const char *operation) {
    if (!count)
      ascend_fault(operation, "nothing is in the queue: it would wait forever");
    Slot taken = slots[0];
    --count;
    for (int each = 0; each < count; ++each)
      slots[each] = slots[each + 1];
    return taken;
  }
  static void last(Slot *slots, int &count, Slot slot, const char *operation) {
    if (count == depth)
      ascend_fault(operation, "the queue is full");
    slots[count++] = slot;
  }

  template <class T> LocalTensor<T> AllocTensor() {
    Slot slot = first(free_slots, free_count, "AllocTensor");
    if (slot.token >= 0)
      ascend_join(producer, slot.token);
    return {slot.local};
  }
  template <class T> void EnQue(const LocalTensor<T> &tensor) {
    last(full_slots, full_count, {tensor.local, ascend_token(producer)}, "EnQue");
  }
  template <class T> LocalTensor<T> DeQue() {
    Slot slot = first(full_slots, full_count, "DeQue");
    ascend_join(consumer, slot.token);
    return {slot.local};
  }
  template <class T> void FreeTensor(LocalTensor<T> &tensor) {
    last(free_slots, free_count, {tensor.local, ascend_token(consumer)}, "FreeTensor");
  }
};

struct TPipe {
  template <TPosition position, int depth> void InitBuffer(TQue<position, depth> &queue, int count, uint32_t bytes) {
    queue.free_count = queue.full_count = 0;
    for (int each = 0; each < count; ++each)
      queue.last(queue.free_slots, queue.free_count, {ascend_take(place_of(position), bytes), -1}, "InitBuffer");
  }
  template <TPosition position> void InitBuffer(TBuf<position> &buffer, uint32_t bytes) {
    buffer.whole = ascend_take(place_of(position), bytes);
  }
};

// ---- Moving data.

inline void DataCopy(const LocalTensor<float> &to, const LocalTensor<float> &from, uint32_t count) {
  ascend_copy_bias(to.local, from.local, count * sizeof(float));
}

template <class T> void whole_lines(uint64_t count) {
  if (count * sizeof(T) % 32)
    ascend_fault("DataCopy", "moves multiples of 32 bytes");
}
template <class T> void DataCopy(const LocalTensor<T> &to, const GlobalTensor<T> &from, uint32_t count) {
  whole_lines<T>(count);
  ascend_copy_in(to.local, from.bytes(), 1, count * sizeof(T), 0, 0);
}
template <class T> void DataCopy(const GlobalTensor<T> &to, const LocalTensor<T> &from, uint32_t count) {
  whole_lines<T>(count);
  ascend_copy_out(to.bytes(), from.local, 1, count * sizeof(T), 0, 0);
}

// Lengths and gaps in global memory in bytes, gaps on the core in 32 bytes, after rows that are filled up to such.
struct DataCopyExtParams {
  uint16_t blockCount;
  uint32_t blockLen;
  int64_t srcStride, dstStride;
  uint32_t rsv;
};
template <class T> struct DataCopyPadExtParams {
  bool isPad;
  uint8_t leftPadding, rightPadding;
  T paddingValue;
};
constexpr uint32_t in_lines(uint32_t bytes) { return (bytes + 31) / 32 * 32; }

template <class T>
void DataCopyPad(const LocalTensor<T> &to, const GlobalTensor<T> &from, const DataCopyExtParams &rows,
                 const DataCopyPadExtParams<T> &pad) {
  if (!pad.isPad || pad.leftPadding || pad.paddingValue != 0 || (rows.blockLen + pad.rightPadding * sizeof(T)) % 32)
    ascend_fault("DataCopyPad", "only rows that zeros fill up to 32 bytes, on the right, are emulated");
  ascend_copy_in(to.local, from.bytes(), rows.blockCount, rows.blockLen, rows.srcStride,
                 in_lines(rows.blockLen) + 32 * rows.dstStride);
}
template <class T>
void DataCopyPad(const GlobalTensor<T> &to, const LocalTensor<T> &from, const DataCopyExtParams &rows) {
  ascend_copy_out(to.bytes(), from.local, rows.blockCount, rows.blockLen, rows.dstStride,
                  in_lines(rows.blockLen) + 32 * rows.srcStride);
}

template <class T> struct InitConstValueParams {
  uint16_t repeatTimes, blockNum, dstGap;
  T initValue;
};
inline void InitConstValue(const LocalTensor<half> &to, const InitConstValueParams<half> &all) {
  if (all.repeatTimes != 1 || all.dstGap)
    ascend_fault("InitConstValue", "only one stretch is emulated");
  ascend_fill(to.local, uint32_t(all.blockNum) * 32, float(all.initValue));
}

struct Nd2NzParams {
  uint16_t ndNum, nValue, dValue;
  uint64_t srcNdMatrixStride;
  uint32_t srcDValue;
  uint16_t dstNzC0Stride, dstNzNStride;
  uint32_t dstNzMatrixStride;
};
inline void DataCopy(const LocalTensor<half> &to, const GlobalTensor<half> &from, const Nd2NzParams &matrix) {
  if (matrix.ndNum != 1 || matrix.dstNzNStride != 1)
    ascend_fault("DataCopy", "only one matrix of rows side by side is emulated");
  ascend_fractals_in(to.local, from.bytes(), matrix.nValue, matrix.dValue, matrix.srcDValue, matrix.dstNzC0Stride);
}

struct LoadData2DParams {
  uint16_t startIndex;
  uint8_t repeatTimes;
  uint16_t srcStride;
  uint8_t sid;
  uint16_t dstGap;
  bool ifTranspose;
  uint8_t addrMode;
};
inline void LoadData(const LocalTensor<half> &to, const LocalTensor<half> &from, const LoadData2DParams &fractals) {
  ascend_load(to.local, from.local, fractals.startIndex, fractals.repeatTimes, fractals.srcStride, fractals.dstGap,
              fractals.ifTranspose);
}

// ---- The cube and its results.

struct MmadParams {
  uint16_t m, n, k;
  uint8_t unitFlag;
  bool cmatrixSource, cmatrixInitVal;
};
inline void Mmad(const LocalTensor<float> &sums, const LocalTensor<half> &a, const LocalTensor<half> &b,
                 const MmadParams &sizes) {
  ascend_product(sums.local, a.local, b.local, nullptr, sizes.m, sizes.n, sizes.k, sizes.cmatrixInitVal);
}
inline void Mmad(const LocalTensor<float> &sums, const LocalTensor<half> &a, const LocalTensor<half> &b,
                 const LocalTensor<float> &bias, const MmadParams &sizes) {
  if (!sizes.cmatrixSource || sizes.cmatrixInitVal)
    ascend_fault("Mmad", "biases need cmatrixSource, and no cmatrixInitVal");
  ascend_product(sums.local, a.local, b.local, &bias.local, sizes.m, sizes.n, sizes.k, 1);
}

struct FixpipeParamsV220 {
  uint16_t nSize, mSize, srcStride;
  uint32_t dstStride;
  bool reluEn;
  QuantMode_t quantPre;
  uint64_t deqScalar;
  uint16_t ndNum, srcNdStride, dstNdStride;
  uint8_t unitFlag;
};
inline void Fixpipe(const GlobalTensor<half> &to, const LocalTensor<float> &sums, const FixpipeParamsV220 &result) {
  if (result.quantPre != QuantMode_t::F322F16 || result.ndNum != 1)
    ascend_fault("Fixpipe", "only one matrix of float16 is emulated");
  ascend_results(to.bytes(), sums.local, result.mSize, result.nSize, result.srcStride, result.dstStride, result.reluEn);
}

// ---- Vectors.

using Vector = const LocalTensor<float> &;
inline void Add(Vector to, Vector a, Vector b, int count) { ascend_vector(ADD, to.local, a.local, b.local, 0, count); }
inline void Sub(Vector to, Vector a, Vector b, int count) { ascend_vector(SUB, to.local, a.local, b.local, 0, count); }
inline void Mul(Vector to, Vector a, Vector b, int count) { ascend_vector(MUL, to.local, a.local, b.local, 0, count); }
inline void Max(Vector to, Vector a, Vector b, int count) { ascend_vector(MAX, to.local, a.local, b.local, 0, count); }
inline void Adds(Vector to, Vector a, float scalar, int count) {
  ascend_vector(ADDS, to.local, a.local, a.local, scalar, count);
}
inline void Muls(Vector to, Vector a, float scalar, int count) {
  ascend_vector(MULS, to.local, a.local, a.local, scalar, count);
}
inline void Exp(Vector to, Vector a, int count) { ascend_vector(EXP, to.local, a.local, a.local, 0, count); }
inline void ReduceSum(Vector to, Vector from, Vector work, int count) {
  ascend_reduce(SUM_OF, to.local, from.local, work.local, count);
}
inline void ReduceMax(Vector to, Vector from, Vector work, int count) {
  ascend_reduce(MAX_OF, to.local, from.local, work.local, count);
}

} // namespace AscendC
