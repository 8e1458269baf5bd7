// Layer norm or softmax of each row of a matrix of float32: rows are spread over the cores, each with its vector unit.
//
// Some rows at once come to the unified buffer and leave it (DEPTH slots each), every one begins at a multiple of 32
// bytes. Sums and maxima of a row pass through the scalar unit.
//
// Before this text stand: ROWS, COLUMNS, PITCH (columns, filled up to 32 bytes), AT_ONCE (rows), DEPTH, LAYER_NORM
// (else softmax), EPSILON.
using namespace AscendC;

constexpr uint32_t GROUPS = (ROWS + AT_ONCE - 1) / AT_ONCE, ROW_BYTES = PITCH * sizeof(float);
constexpr uint32_t WORK_BYTES = (COLUMNS + 63) / 64 * 32;

// Rows of a group: the last one may have fewer.
__aicore__ inline uint32_t Count(uint32_t group) {
  return ROWS - group * AT_ONCE < AT_ONCE ? ROWS - group * AT_ONCE : AT_ONCE;
}

extern "C" __global__ __vector__ void flextune_rows(GM_ADDR x, GM_ADDR gamma, GM_ADDR beta, GM_ADDR out) {
  TPipe pipe;
  TQue<TPosition::VECIN, DEPTH> arriving;
  TQue<TPosition::VECOUT, DEPTH> leaving;
  TBuf<TPosition::VECCALC> scaleBuffer, shiftBuffer, squareBuffer, workBuffer, sumBuffer;
  pipe.InitBuffer(arriving, DEPTH, AT_ONCE * ROW_BYTES);
  pipe.InitBuffer(leaving, DEPTH, AT_ONCE * ROW_BYTES);
  pipe.InitBuffer(workBuffer, WORK_BYTES);
  pipe.InitBuffer(sumBuffer, 32);
  if (LAYER_NORM) {
    pipe.InitBuffer(scaleBuffer, ROW_BYTES);
    pipe.InitBuffer(shiftBuffer, ROW_BYTES);
    pipe.InitBuffer(squareBuffer, ROW_BYTES);
  }
  GlobalTensor<float> xGM, gammaGM, betaGM, outGM;
  xGM.SetGlobalBuffer((__gm__ float *)x, uint64_t(ROWS) * COLUMNS);
  outGM.SetGlobalBuffer((__gm__ float *)out, uint64_t(ROWS) * COLUMNS);
  LocalTensor<float> work = workBuffer.Get<float>(), sum = sumBuffer.Get<float>();
  LocalTensor<float> scale = scaleBuffer.Get<float>(), shift = shiftBuffer.Get<float>(), square = squareBuffer.Get<float>();

  const uint32_t row = COLUMNS * sizeof(float);
  const DataCopyPadExtParams<float> zeros{true, 0, uint8_t(PITCH - COLUMNS), 0};
  if (LAYER_NORM && GetBlockIdx() < GROUPS) { // who waits for the first rows waits for these, too
    gammaGM.SetGlobalBuffer((__gm__ float *)gamma, COLUMNS);
    betaGM.SetGlobalBuffer((__gm__ float *)beta, COLUMNS);
    DataCopyPad(scale, gammaGM, DataCopyExtParams{1, row, 0, 0, 0}, zeros);
    DataCopyPad(shift, betaGM, DataCopyExtParams{1, row, 0, 0, 0}, zeros);
  }
  uint32_t coming = GetBlockIdx();
  for (uint32_t group = coming; group < GROUPS; group += GetBlockNum()) {
    // The scalar unit waits for sums below, so the rows after these must be on their way before.
    for (; coming < GROUPS && coming <= group + (DEPTH - 1) * GetBlockNum(); coming += GetBlockNum()) {
      LocalTensor<float> incoming = arriving.AllocTensor<float>();
      const DataCopyExtParams rows{uint16_t(Count(coming)), row, 0, 0, 0};
      DataCopyPad(incoming, xGM[uint64_t(coming) * AT_ONCE * COLUMNS], rows, zeros);
      arriving.EnQue(incoming);
    }
    const uint32_t count = Count(group);
    LocalTensor<float> in = arriving.DeQue<float>(), result = leaving.AllocTensor<float>();
    for (uint32_t each = 0; each < count; ++each) {
      LocalTensor<float> v = in[each * PITCH], y = result[each * PITCH];
      if (LAYER_NORM)
        ReduceSum(sum, v, work, COLUMNS);
      else
        ReduceMax(sum, v, work, COLUMNS);
      SetFlag<HardEvent::V_S>(EVENT_ID0);
      WaitFlag<HardEvent::V_S>(EVENT_ID0);
      const float middle = LAYER_NORM ? sum.GetValue(0) / COLUMNS : sum.GetValue(0);
      SetFlag<HardEvent::S_V>(EVENT_ID0);
      Adds(y, v, -middle, COLUMNS);
      PipeBarrier<PIPE_V>();
      if (LAYER_NORM)
        Mul(square, y, y, COLUMNS);
      else
        Exp(y, y, COLUMNS);
      PipeBarrier<PIPE_V>();
      WaitFlag<HardEvent::S_V>(EVENT_ID0);
      ReduceSum(sum, LAYER_NORM ? square : y, work, COLUMNS);
      SetFlag<HardEvent::V_S>(EVENT_ID0);
      WaitFlag<HardEvent::V_S>(EVENT_ID0);
      const float all = sum.GetValue(0);
      SetFlag<HardEvent::S_V>(EVENT_ID0);
      Muls(y, y, LAYER_NORM ? 1.0f / sqrtf(all / COLUMNS + EPSILON) : 1.0f / all, COLUMNS);
      PipeBarrier<PIPE_V>();
      if (LAYER_NORM) {
        Mul(y, y, scale, COLUMNS);
        PipeBarrier<PIPE_V>();
        Add(y, y, shift, COLUMNS);
        PipeBarrier<PIPE_V>();
      }
      WaitFlag<HardEvent::S_V>(EVENT_ID0);
    }
    arriving.FreeTensor(in);
    leaving.EnQue(result);
    LocalTensor<float> outgoing = leaving.DeQue<float>();
    DataCopyPad(outGM[uint64_t(group) * AT_ONCE * COLUMNS], outgoing, DataCopyExtParams{uint16_t(count), row, 0, 0, 0});
    leaving.FreeTensor(outgoing);
  }
}
