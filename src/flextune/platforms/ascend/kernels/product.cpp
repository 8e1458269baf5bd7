// out = relu(a * b + bias) in float16, summed in float32: tiles of the output are spread over the cores.
//
// Panels of A and B come to L1 (two slots of each, so that the next are on their way), parts of them to L0A and L0B (two
// slots), sums stay in L0C until a tile is done and are rounded on their way out. Tiles at the edges are smaller; what
// fills them up to whole fractals of 16 x 16 is zero.
//
// Before this text stand: M, N, K; TILE_M, TILE_N, PART_K, PANEL_K (multiples of 16); SLOTS of sums; TA, TB (whether A is
// stored as [K, M] and B as [N, K]); BIAS, RELU.
using namespace AscendC;

constexpr uint32_t filled(uint32_t extent) { return (extent + 15) / 16 * 16; }
constexpr uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }
constexpr uint32_t COLUMNS = (N + TILE_N - 1) / TILE_N, TILES = (M + TILE_M - 1) / TILE_M * COLUMNS;
constexpr uint32_t PANELS = (K + PANEL_K - 1) / PANEL_K, FRACTAL = 256;

// Rows [r, c] of a matrix with so many columns, as fractals.
__aicore__ inline void Panel(const LocalTensor<half> &to, const GlobalTensor<half> &from, uint32_t columns, uint32_t r0,
                             uint32_t rows, uint32_t c0, uint32_t count) {
  if (rows % 16 || count % 16) {
    InitConstValue(to, InitConstValueParams<half>{1, uint16_t(filled(rows) * filled(count) * sizeof(half) / 32), 0, half(0)});
    PipeBarrier<PIPE_MTE2>();
  }
  Nd2NzParams matrix{1, uint16_t(rows), uint16_t(count), 0, columns, uint16_t(filled(rows)), 1, 0};
  DataCopy(to, from[uint64_t(r0) * columns + c0], matrix);
}

extern "C" __global__ __cube__ void flextune_product(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR out) {
  TPipe pipe;
  TBuf<TPosition::A1> a1;
  TBuf<TPosition::B1> b1;
  TBuf<TPosition::C1> bias1;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::C2> bias2;
  TBuf<TPosition::CO1> co1;
  pipe.InitBuffer(a1, 2 * TILE_M * PANEL_K * sizeof(half));
  pipe.InitBuffer(b1, 2 * PANEL_K * TILE_N * sizeof(half));
  pipe.InitBuffer(a2, 2 * TILE_M * PART_K * sizeof(half));
  pipe.InitBuffer(b2, 2 * PART_K * TILE_N * sizeof(half));
  pipe.InitBuffer(co1, SLOTS * TILE_M * TILE_N * sizeof(float));
  if (BIAS) {
    pipe.InitBuffer(bias1, TILE_N * sizeof(float));
    pipe.InitBuffer(bias2, TILE_N * sizeof(float));
  }
  GlobalTensor<half> aGM, bGM, outGM;
  GlobalTensor<float> biasGM;
  aGM.SetGlobalBuffer((__gm__ half *)a, uint64_t(M) * K);
  bGM.SetGlobalBuffer((__gm__ half *)b, uint64_t(K) * N);
  outGM.SetGlobalBuffer((__gm__ half *)out, uint64_t(M) * N);
  if (BIAS)
    biasGM.SetGlobalBuffer((__gm__ float *)bias, filled(N));

  for (int slot = 0; slot < 2; ++slot) {
    SetFlag<HardEvent::MTE1_MTE2>(slot); // a slot of L1 is free,
    SetFlag<HardEvent::M_MTE1>(slot);    // one of L0A and L0B,
  }
  for (int slot = 0; slot < int(SLOTS); ++slot)
    SetFlag<HardEvent::FIX_M>(slot); // one of L0C,
  if (BIAS) {
    SetFlag<HardEvent::MTE1_MTE2>(2); // and the places of biases
    SetFlag<HardEvent::M_MTE1>(2);
  }

  uint32_t panel = 0, part = 0, done = 0;
  for (uint32_t tile = GetBlockIdx(); tile < TILES; tile += GetBlockNum(), ++done) {
    const uint32_t m0 = tile / COLUMNS * TILE_M, n0 = tile % COLUMNS * TILE_N;
    const uint32_t m = least(TILE_M, M - m0), n = least(TILE_N, N - n0), mp = filled(m), np = filled(n);
    const int slot = done % SLOTS;
    LocalTensor<float> sums = co1.Get<float>()[slot * TILE_M * TILE_N], biases = bias2.Get<float>();
    if (BIAS) {
      WaitFlag<HardEvent::MTE1_MTE2>(2);
      DataCopy(bias1.Get<float>(), biasGM[n0], np);
      SetFlag<HardEvent::MTE2_MTE1>(2);
      WaitFlag<HardEvent::MTE2_MTE1>(2);
      WaitFlag<HardEvent::M_MTE1>(2);
      DataCopy(biases, bias1.Get<float>(), np);
      SetFlag<HardEvent::MTE1_MTE2>(2);
    }
    WaitFlag<HardEvent::FIX_M>(slot);
    for (uint32_t k0 = 0; k0 < K; k0 += PANEL_K, ++panel) {
      const uint32_t k = least(PANEL_K, K - k0), kp = filled(k);
      const int at = panel % 2;
      LocalTensor<half> panelA = a1.Get<half>()[at * TILE_M * PANEL_K], panelB = b1.Get<half>()[at * PANEL_K * TILE_N];
      WaitFlag<HardEvent::MTE1_MTE2>(at);
      if (TA)
        Panel(panelA, aGM, M, k0, k, m0, m);
      else
        Panel(panelA, aGM, K, m0, m, k0, k);
      if (TB)
        Panel(panelB, bGM, K, n0, n, k0, k);
      else
        Panel(panelB, bGM, N, k0, k, n0, n);
      SetFlag<HardEvent::MTE2_MTE1>(at);
      WaitFlag<HardEvent::MTE2_MTE1>(at);
      for (uint32_t p0 = 0; p0 < kp; p0 += PART_K, ++part) {
        const uint32_t p = least(PART_K, kp - p0), fm = mp / 16, fn = np / 16, fp = p / 16, fk = kp / 16, f0 = p0 / 16;
        const int in = part % 2;
        LocalTensor<half> left = a2.Get<half>()[in * TILE_M * PART_K], right = b2.Get<half>()[in * PART_K * TILE_N];
        WaitFlag<HardEvent::M_MTE1>(in);
        for (uint32_t i = 0; i < fm; ++i) // a row of fractals of A
          if (TA)
            LoadData(left[i * fp * FRACTAL], panelA, LoadData2DParams{uint16_t(i * fk + f0), uint8_t(fp), 1, 0, 0, true, 0});
          else
            LoadData(left[i * fp * FRACTAL], panelA, LoadData2DParams{uint16_t(f0 * fm + i), uint8_t(fp), uint16_t(fm), 0, 0, false, 0});
        for (uint32_t i = 0; i < fp; ++i) // a row of fractals of B
          if (TB)
            LoadData(right[i * fn * FRACTAL], panelB, LoadData2DParams{uint16_t((f0 + i) * fn), uint8_t(fn), 1, 0, 0, false, 0});
          else
            LoadData(right[i * fn * FRACTAL], panelB, LoadData2DParams{uint16_t(f0 + i), uint8_t(fn), uint16_t(fk), 0, 0, true, 0});
        SetFlag<HardEvent::MTE1_M>(in);
        WaitFlag<HardEvent::MTE1_M>(in);
        const bool first = k0 == 0 && p0 == 0;
        const MmadParams sizes{uint16_t(mp), uint16_t(np), uint16_t(p), 0, first && BIAS, first && !BIAS};
        if (first && BIAS)
          Mmad(sums, left, right, biases, sizes);
        else
          Mmad(sums, left, right, sizes);
        PipeBarrier<PIPE_M>();
        SetFlag<HardEvent::M_MTE1>(in);
      }
      SetFlag<HardEvent::MTE1_MTE2>(at);
    }
    if (BIAS)
      SetFlag<HardEvent::M_MTE1>(2);
    SetFlag<HardEvent::M_FIX>(slot);
    WaitFlag<HardEvent::M_FIX>(slot);
    const FixpipeParamsV220 result{uint16_t(n), uint16_t(m), uint16_t(mp), N, RELU, QuantMode_t::F322F16, 0, 1, 0, 0, 0};
    Fixpipe(outGM[uint64_t(m0) * N + n0], sums, result);
    SetFlag<HardEvent::FIX_M>(slot);
  }

  for (int slot = 0; slot < 2; ++slot) {
    WaitFlag<HardEvent::MTE1_MTE2>(slot);
    WaitFlag<HardEvent::M_MTE1>(slot);
  }
  for (int slot = 0; slot < int(SLOTS); ++slot)
    WaitFlag<HardEvent::FIX_M>(slot);
  if (BIAS) {
    WaitFlag<HardEvent::MTE1_MTE2>(2);
    WaitFlag<HardEvent::M_MTE1>(2);
  }
}
