"""LLVM IR of the loops that reach a processor's peaks: multiply-accumulate at full rate, and streaming reads.

Every loop keeps enough independent accumulators in registers to hide the latency of its instruction, as the register
tile of a matrix product does. They start from different memory, so that no two can be merged, and their sum is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from flextune.platforms.x86.kind import vector_registers
from flextune.target.target import Target

DATA_BYTES = 4096
"""A loop that computes reads and writes less than this at its address."""


@dataclass(frozen=True, slots=True)
class PeakKernel:
    """One loop: an LLVM function `name(i64 address, i64 trips) -> i32`.

    A trip does `work_per_trip` operations on registers; or, if it `streams`, reads that many bytes, going forward.
    """

    name: str
    llvm_ir: str
    work_per_trip: int
    streams: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """How one accumulator is updated: `lines` define {new} from {old}, {left} and %right, by way of {tmp}."""

    vector: str
    """The LLVM type of an accumulator."""
    lines: tuple[str, ...]
    declarations: tuple[str, ...]
    """Intrinsics that the lines call."""
    operations: int
    """Of one update, a multiply-accumulate counting as two."""
    operand: str
    """The LLVM type of both factors."""
    reload_operand: bool = False
    """Whether a factor is read from memory each time."""


def float32_kernel(target: Target) -> PeakKernel:
    """Fused multiply-adds in float32; a multiplication and an addition where there is no FMA."""
    lanes = target.vector_lanes(32)
    vector = f"<{lanes} x float>"
    if target.has("avx2"):
        function = f"{vector} @llvm.fma.v{lanes}f32"
        step = _Step(
            vector,
            (f"{{new}} = call {function}({vector} %left, {vector} %right, {vector} {{old}})",),
            (f"declare {function}({vector}, {vector}, {vector})",),
            2 * lanes,
            vector,
        )
    else:
        step = _Step(
            vector,
            (f"{{tmp}} = fmul {vector} {{left}}, %right", f"{{new}} = fadd {vector} {{old}}, {{tmp}}"),
            (),
            2 * lanes,
            vector,
            reload_operand=True,
        )
    return _compute_kernel("flextune_peak_float32", target, step)


def int8_kernel(target: Target) -> PeakKernel:
    """u8 x s8 products summed in s32: VNNI where there is one, else widened to s16, multiplied and added in pairs.

    `vpmaddubsw` does twice as much, but its s16 sums saturate for full-range operands: no exact program can use it.
    """
    lanes = target.vector_lanes(32)
    vector = f"<{lanes} x i32>"
    if target.has("vnni") or target.has("avxvnni"):
        bits = 512 if target.has("vnni") else 256
        vector, bytes_vector = f"<{bits // 32} x i32>", f"<{bits // 8} x i8>"
        function = f"{vector} @llvm.x86.avx512.vpdpbusd.{bits}"
        step = _Step(
            vector,
            (f"{{new}} = call {function}({vector} {{old}}, {bytes_vector} %left, {bytes_vector} %right)",),
            (f"declare {function}({vector}, {bytes_vector}, {bytes_vector})",),
            2 * 4 * (bits // 32),
            bytes_vector,
        )
        return _compute_kernel("flextune_peak_int8", target, step)
    name = {512: "avx512.pmaddw.d.512", 256: "avx2.pmadd.wd", 128: "sse2.pmadd.wd"}[target.vector_bits]
    words = f"<{2 * lanes} x i16>"
    step = _Step(
        vector,
        (
            f"{{tmp}} = call {vector} @llvm.x86.{name}({words} {{left}}, {words} %right)",
            f"{{new}} = add {vector} {{old}}, {{tmp}}",
        ),
        (f"declare {vector} @llvm.x86.{name}({words}, {words})",),
        2 * 2 * lanes,
        words,
        reload_operand=True,
    )
    return _compute_kernel("flextune_peak_int8", target, step)


def bfloat16_kernel(target: Target) -> PeakKernel | None:
    """Products of bfloat16 pairs summed in float32; None where there is no instruction for it.

    The best sequence is then float32's, since widening an operand is paid once per register tile, not per product.
    """
    if not target.has("bf16"):
        return None
    lanes = target.vector_lanes(32)
    vector, pairs = f"<{lanes} x float>", f"<{2 * lanes} x bfloat>"
    function = f"{vector} @llvm.x86.avx512bf16.dpbf16ps.{target.vector_bits}"
    step = _Step(
        vector,
        (f"{{new}} = call {function}({vector} {{old}}, {pairs} %left, {pairs} %right)",),
        (f"declare {function}({vector}, {pairs}, {pairs})",),
        2 * 2 * lanes,
        pairs,
    )
    return _compute_kernel("flextune_peak_bfloat16", target, step)


def read_kernel(target: Target) -> PeakKernel:
    """Adds up a buffer with vector loads: the rate at which the cores can read memory."""
    lanes, streams = target.vector_lanes(32), 8
    vector, vector_bytes = f"<{lanes} x i32>", target.vector_bits // 8
    body = []
    for k in range(streams):
        body += [
            f"%at{k} = getelementptr i8, ptr %row, i64 {k * vector_bytes}",
            f"%v{k} = load {vector}, ptr %at{k}, align {vector_bytes}",
            f"%new{k} = add {vector} %acc{k}, %v{k}",
        ]
    row_bytes = streams * vector_bytes
    ir = _loop(
        "flextune_peak_read",
        before=(),
        vector=vector,
        starts=["zeroinitializer"] * streams,
        body=[f"%offset = mul i64 %i, {row_bytes}", "%row = getelementptr i8, ptr %data, i64 %offset", *body],
        ends=[f"%new{k}" for k in range(streams)],
        after=_store_sum(vector, [f"%new{k}" for k in range(streams)]),
    )
    return PeakKernel("flextune_peak_read", ir, row_bytes, streams=True)


def _compute_kernel(name: str, target: Target, step: _Step) -> PeakKernel:
    """One update of each accumulator per trip; the registers left over hold the operands.

    A second update would let the compiler add up integer products first and spill the accumulators.
    """
    spare = 2 + (2 if step.reload_operand else 0)
    count = min(24, vector_registers(target) - spare)
    vector_bytes = target.vector_bits // 8
    before = [
        f"%left = load {step.operand}, ptr %data, align {vector_bytes}",
        f"%at = getelementptr i8, ptr %data, i64 {vector_bytes}",
        f"%right = load {step.operand}, ptr %at, align {vector_bytes}",
    ]
    for k in range(count):
        before += [
            f"%at{k} = getelementptr i8, ptr %data, i64 {(2 + k) * vector_bytes}",
            f"%start{k} = load {step.vector}, ptr %at{k}, align {vector_bytes}",
        ]
    values = [f"%new{k}" for k in range(count)]
    ir = _loop(
        name,
        before=before,
        vector=step.vector,
        starts=[f"%start{k}" for k in range(count)],
        body=_updates(step, count, vector_bytes),
        ends=values,
        after=_store_sum(step.vector, values),
    )
    return PeakKernel(name, "\n".join([*step.declarations, ir]), step.operations * count)


def _updates(step: _Step, count: int, vector_bytes: int) -> list[str]:
    """One update of each accumulator, from `%acc<k>` to `%new<k>`.

    Where the product does not depend on the accumulator it would be moved out of the loop: its left operand is then
    loaded anew each time (volatile), as a matrix product does too.
    """
    body: list[str] = []
    for k in range(count):
        left = f"%left{k}" if step.reload_operand else "%left"
        if step.reload_operand:
            body.append(f"{left} = load volatile {step.operand}, ptr %data, align {vector_bytes}")
        body += [line.format(new=f"%new{k}", old=f"%acc{k}", tmp=f"%tmp{k}", left=left) for line in step.lines]
    return body


def _store_sum(vector: str, values: list[str]) -> list[str]:
    add = "fadd" if "float" in vector else "add"
    lines, total = [], values[0]
    for k, value in enumerate(values[1:]):
        lines.append(f"%sum{k} = {add} {vector} {total}, {value}")
        total = f"%sum{k}"
    return [*lines, f"store volatile {vector} {total}, ptr %data, align 16"]


def _loop(
    name: str,
    *,
    before: list[str] | tuple[()],
    vector: str,
    starts: list[str],
    body: list[str],
    ends: list[str],
    after: list[str],
) -> str:
    """A function that runs `body` `trips` times; accumulator `%acc<k>` goes from `starts[k]` to `ends[k]` each trip."""
    phis = [
        f"%acc{k} = phi {vector} [ {start}, %entry ], [ {end}, %loop ]"
        for k, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    lines = [
        f"define i32 @{name}(i64 %address, i64 %trips) noinline nounwind {{",
        "entry:",
        "%data = inttoptr i64 %address to ptr",
        *before,
        "br label %loop",
        "loop:",
        "%i = phi i64 [ 0, %entry ], [ %next, %loop ]",
        *phis,
        *body,
        "%next = add i64 %i, 1",
        "%more = icmp slt i64 %next, %trips",
        "br i1 %more, label %loop, label %exit",
        "exit:",
        *after,
        "ret i32 0",
        "}",
    ]
    return "\n".join(lines)
