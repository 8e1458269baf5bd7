"""From a schedule to VTA's instructions.

Tiles of output are computed one after the other. Each sums up over tiles of input channels; for each of these the load
module brings inputs and weights into a slot of their buffers, unless they lie there from the step before. With several
slots it is a step or more ahead of the multiplication, and with several slots of accumulators a tile is stored while
the next one is computed. Who waits for whom follows from who used a slot last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.errors import BuildError
from flextune.platforms.vta.hardware import ACCUMULATOR_BYTES, INPUT_BYTES, MICRO_OP_BYTES, WEIGHT_BYTES
from flextune.platforms.vta.instruction import Alu, AluOperation, Finish, Gemm, Memory, Opcode, encoded, micro_op
from flextune.platforms.vta.micro_ops import Key, MicroOps, gemm_factors, gemm_micro_ops
from flextune.platforms.vta.steps import Slots, Step, steps_of
from flextune.platforms.vta.tiling import Layout, Tiling
from flextune.platforms.vta.tokens import Program
from flextune.platforms.vta.transfers import Box, transfers

_BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class Code:
    """What the accelerator gets beside its operands."""

    instructions: npt.NDArray[np.uint64]
    """Two words each."""
    micro_ops: npt.NDArray[np.uint32]


def generate(tiling: Tiling) -> Code:
    """Raises `BuildError` where the instructions are more than a program may have, or cannot say what is asked."""
    program, micro_ops = _Generator(tiling).run()
    if len(program.instructions) > tiling.hardware.instructions:
        raise BuildError(
            f"the program has {len(program.instructions)} instructions; {tiling.hardware.instructions} fit"
        )
    return Code(encoded(program.instructions, program.tokens), micro_ops)


class _Generator:
    """What is known while instructions are written."""

    def __init__(self, tiling: Tiling) -> None:
        self._tiling = tiling
        self._layout = Layout.of(tiling)
        self._program = Program()
        self._inputs = Slots(tiling.load_slots, tiling.input_entries)
        self._weights = Slots(tiling.load_slots, tiling.weight_entries)
        self._sums = Slots(tiling.store_slots, tiling.accumulator_entries)
        self._micro_ops = MicroOps(tiling.hardware.micro_ops)
        self._biases: tuple[int, int] | None = None
        self._rows = [tiling.rows.part(number) for number in range(tiling.rows.count)]
        self._columns = [tiling.columns.part(number) for number in range(tiling.columns.count)]
        self._last = -1
        """The last instruction that changed accumulators."""

    def run(self) -> tuple[Program, npt.NDArray[np.uint32]]:
        for step in steps_of(self._tiling):
            if step.depth == 0:
                self._begin(step)
            self._multiply(step)
            if step.depth == self._tiling.steps_in - 1:
                self._epilogue()
                self._store(step)
        finish = self._program.add(Finish())
        self._program.wait(finish, self._sums.users[-1])
        return self._program, self._micro_ops.written()

    def _begin(self, step: Step) -> None:
        """Zero the accumulators of a tile, whose slot must have been stored; have the biases of its channels there."""
        stored = self._sums.take()
        begin, end = self._one(micro_op(self._sums.base))
        turns = (1, self._tiling.accumulator_entries)
        reset = self._program.add(Gemm(begin, end, turns, dst=(0, 1), reset=True))
        if stored >= 0:
            self._program.wait(reset, stored)
        if self._biases != (step.group, step.out):
            self._biases = (step.group, step.out)
            self._load_biases(step)

    def _load_biases(self, step: Step) -> None:
        tiling = self._tiling
        for number in range(tiling.form.biases):
            tile = (number * tiling.form.groups + step.group) * tiling.steps_out + step.out
            dram = self._layout.biases // ACCUMULATOR_BYTES + tile * tiling.blocks_out
            self._load(Memory.ACCUMULATOR, Box(self._bias(number), dram, 1, 1, tiling.blocks_out))

    def _bias(self, number: int) -> int:
        return self._tiling.bias_base + number * self._tiling.blocks_out

    def _multiply(self, step: Step) -> None:
        loaded = self._bring(step)
        bases = (self._sums.base, self._inputs.base, self._weights.base)
        begin, end = self._ready(bases, lambda: gemm_micro_ops(self._tiling, *bases).tolist())
        turns, factors = gemm_factors(self._tiling)
        self._last = self._program.add(Gemm(begin, end, turns, *factors))
        if loaded >= 0:
            self._program.wait(self._last, loaded)
        self._inputs.used(self._last)
        self._weights.used(self._last)

    def _bring(self, step: Step) -> int:
        """Load what is not there. The number of the last of these instructions; -1 for none."""
        boxes: list[tuple[Memory, Box]] = []
        users: list[int] = []
        if self._inputs.holds != step.input_tile:
            users.append(self._inputs.take(step.input_tile))
            boxes.append((Memory.INPUT, self._input_box(step)))
        if self._weights.holds != step.weight_tile:
            users.append(self._weights.take(step.weight_tile))
            boxes.append((Memory.WEIGHT, self._weight_box(step)))
        if not boxes:
            return -1
        numbers = [number for memory, box in boxes for number in self._load(memory, box)]
        if max(users) >= 0:
            self._program.wait(numbers[0], max(users))
        return numbers[-1]

    def _load(self, memory: Memory, box: Box) -> list[int]:
        return [self._program.add(each) for each in transfers(Opcode.LOAD, memory, box)]

    def _input_box(self, step: Step) -> Box:
        tiling = self._tiling
        height, width = tiling.rows.stored, tiling.columns.stored
        image = (step.group * tiling.form.images + step.image) * tiling.steps_in
        (row, rows, (above, below)), (column, columns, (left, right)) = self._rows[step.row], self._columns[step.column]
        plane = (image + step.depth) * tiling.blocks_in
        dram = self._layout.inputs // INPUT_BYTES + (plane * height + row) * width + column
        sides = (above, below, left, right)
        return Box(self._inputs.base, dram, tiling.blocks_in, rows, columns, height * width, width, *sides)

    def _weight_box(self, step: Step) -> Box:
        tiling = self._tiling
        block = tiling.blocks_in * tiling.form.taps
        first = (step.group * tiling.steps_out + step.out) * tiling.blocks_out * tiling.steps_in + step.depth
        dram = self._layout.weights // WEIGHT_BYTES + first * block
        return Box(self._weights.base, dram, tiling.blocks_out, 1, block, tiling.steps_in * block)

    def _epilogue(self) -> None:
        tiling, bias = self._tiling, 0
        for word in tiling.form.epilogue:
            if word == "relu":
                self._on_all(AluOperation.MAXIMUM, 0)
                continue
            begin, end = self._one(micro_op(self._sums.base, self._bias(bias)))
            outer = tiling.blocks_out > 1
            dst, src = (tiling.pixels * outer, 1 * (tiling.pixels > 1)), (1 * outer, 0)
            turns = (tiling.blocks_out, tiling.pixels)
            self._last = self._program.add(Alu(AluOperation.ADD, begin, end, turns, dst, src))
            bias += 1

    def _on_all(self, operation: AluOperation, number: int) -> None:
        """An operation with a number, on all accumulators of the tile."""
        begin, end = self._one(micro_op(self._sums.base))
        turns = (1, self._tiling.accumulator_entries)
        self._last = self._program.add(Alu(operation, begin, end, turns, dst=(0, 1), immediate=number))

    def _store(self, step: Step) -> None:
        """Results leave as they are, or byte by byte: then each waits until the one before it has left."""
        for plane in range(self._tiling.hardware.planes):
            if plane:
                self._on_all(AluOperation.SHIFT_RIGHT, _BYTE_BITS)
                self._program.wait(self._last, self._sums.users[-1])
            box = self._output_box(step, plane)
            numbers = [self._program.add(each) for each in transfers(Opcode.STORE, Memory.OUTPUT, box)]
            self._program.wait(numbers[0], self._last)
            self._sums.used(numbers[-1])

    def _output_box(self, step: Step, plane: int) -> Box:
        tiling = self._tiling
        height, width = tiling.rows.padded_result, tiling.columns.padded_result
        image = (step.group * tiling.form.images + step.image) * tiling.steps_out
        channel = (image + step.out) * tiling.blocks_out
        row, column = step.row * tiling.rows.tile, step.column * tiling.columns.tile
        dram = self._layout.outputs // tiling.hardware.output_entry_bytes + plane * tiling.result_entries
        dram += (channel * height + row) * width + column
        extents = (tiling.blocks_out, tiling.rows.tile, tiling.columns.tile)
        return Box(self._sums.base, dram, *extents, height * width, width)

    def _one(self, word: int) -> tuple[int, int]:
        """A sequence of one micro-op."""
        return self._ready((word,), lambda: [word])

    def _ready(self, key: Key, make: Callable[[], Sequence[int]]) -> tuple[int, int]:
        """Where micro-ops lie in the buffer, loaded into it where they are not."""
        place = self._micro_ops.place(key, make)
        if place.is_new:
            dram = self._layout.micro_ops // MICRO_OP_BYTES + place.dram
            self._load(Memory.MICRO_OP, Box(place.begin, dram, 1, 1, place.end - place.begin))
        return place.begin, place.end
