"""The simulator: cycles that can be counted by hand, and everything that an accelerator would do wrong in silence."""

from dataclasses import replace

import numpy as np
import pytest

from flextune.platforms.vta.hardware import hardware_of
from flextune.platforms.vta.instruction import (
    Alu,
    AluOperation,
    Finish,
    Gemm,
    Memory,
    Opcode,
    Tokens,
    Transfer,
    encoded,
    micro_op,
)
from flextune.platforms.vta.simulator import SimulationError, simulate

from .programs import VTA, gemm

HARDWARE = hardware_of(VTA)
NONE, POP_P, POP_N = Tokens.NONE, Tokens.POP_PREVIOUS, Tokens.POP_NEXT
PUSH_P, PUSH_N = Tokens.PUSH_PREVIOUS, Tokens.PUSH_NEXT


def load(memory, columns, dram=0, sram=0, **more):
    return Transfer(Opcode.LOAD, memory, sram, dram, 1, columns, columns, **more)


def store(columns, dram=0, sram=0):
    return Transfer(Opcode.STORE, Memory.OUTPUT, sram, dram, 1, columns, columns)


def run(*program, hardware=HARDWARE, memory=None, begin=0):
    """Instructions with their tokens, on a memory of 4 KiB."""
    memory = np.zeros(4096, np.uint8) if memory is None else memory
    instructions, tokens = zip(*program, strict=True)
    return simulate(hardware, encoded(instructions, tokens), memory, (begin, memory.nbytes))


def test_cycles_of_one_product_after_the_other_are_the_sum_of_their_parts():
    memory = np.zeros(4096, np.uint8)
    memory[:16] = np.arange(16)  # one vector
    memory[256:512] = np.eye(16, dtype=np.uint8).reshape(-1) * 3  # one block, as it is [out, in]
    memory[512:516] = np.array([micro_op(0)], "<u4").view(np.uint8)
    done = run(
        (load(Memory.INPUT, 1), NONE),
        (load(Memory.WEIGHT, 1, dram=1), PUSH_N),
        (load(Memory.MICRO_OP, 1, dram=128), NONE),
        (Gemm(0, 1, (1, 1), (0, 0), reset=True), NONE),
        (Gemm(0, 1, (1, 1), (0, 0)), POP_P | PUSH_N),
        (store(1, dram=16), POP_P | PUSH_P),
        (Finish(), POP_N),
        memory=memory,
        begin=1024,
    )
    assert memory[1024:1088].view("<i4").tolist() == [3 * each for each in range(16)]
    # An instruction is there after 2 cycles. The input crosses a bus of 8 bytes in 2 cycles, 64 after its start; the
    # weights begin when the input has come, and take 64 + 32; product and store 8 + 1 and 64 + 8; the end is a cycle.
    load_end = 2 + (64 + 2) + (64 + 32)
    assert done.cycles == load_end + (8 + 1) + (64 + 8) + 1
    assert (done.gemm_operations, done.alu_operations) == (1, 0)
    assert done.load_cycles == 66 + 96
    assert done.store_cycles == 72
    assert done.dram_bytes == 16 + 256 + 4 + 64


def test_modules_go_on_at_once_and_share_the_bus():
    alone = [(load(Memory.INPUT, 64), NONE), (Finish(), NONE)]
    both = [(load(Memory.INPUT, 64), NONE), (load(Memory.ACCUMULATOR, 16), NONE), (Finish(), NONE)]
    first, second = run(*alone), run(*both)
    assert first.cycles == 2 + 64 + 128
    assert second.cycles == 2 + 64 + 128 + 128 + 1  # its latency is hidden, its 1024 bytes are not


@pytest.mark.parametrize(
    ("operation", "number", "expected"),
    [
        (AluOperation.MINIMUM, -3, lambda x: np.minimum(x, -3)),
        (AluOperation.MAXIMUM, 100, lambda x: np.maximum(x, 100)),
        (AluOperation.ADD, -30000, lambda x: x - 30000),
        (AluOperation.SHIFT_RIGHT, 3, lambda x: x >> 3),
        (AluOperation.SHIFT_RIGHT, -2, lambda x: x << 2),
    ],
)
def test_the_alu_computes_with_numbers_of_16_bits(operation, number, expected):
    memory = np.zeros(4096, np.uint8)
    values = np.random.default_rng(0).integers(-(2**31), 2**31, 16).astype("<i4")
    memory[:64] = values.view(np.uint8)
    run(
        (load(Memory.ACCUMULATOR, 1), NONE),
        (load(Memory.MICRO_OP, 1, dram=1023), NONE),
        (Alu(operation, 0, 1, (1, 1), (0, 0), immediate=number), PUSH_N),
        (store(1, dram=16), POP_P | PUSH_P),
        (Finish(), POP_N),
        memory=memory,
        begin=1024,
    )
    with np.errstate(over="ignore"):
        assert np.array_equal(memory[1024:1088].view("<i4"), expected(values))


def test_zeros_at_the_sides_are_entries_of_the_buffer():
    padded = Transfer(Opcode.LOAD, Memory.INPUT, 0, 0, 1, 1, 1, top=1, bottom=0, left=2, right=1)
    assert run((padded, NONE), (Finish(), NONE)).load_cycles == 64 + 2 + 7  # 2 rows of 4, of which one is loaded
    last = hardware_of(VTA).inputs - 7
    with pytest.raises(SimulationError, match="instruction 0: writes entry 2048 of the input buffer, which has 2048"):
        run((replace(padded, sram=last), NONE), (Finish(), NONE))


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ([(load(Memory.INPUT, 1), POP_N), (Finish(), NONE)], "instruction 0: deadlock: the load module"),
        ([(Finish(), POP_N)], "deadlock: the compute module"),
        ([(load(Memory.INPUT, 1), NONE)], "no FINISH"),
        ([(load(Memory.INPUT, 257), NONE), (Finish(), NONE)], "loads byte 4112 of a memory of 4096"),
        ([(load(Memory.INPUT, 1), POP_P), (Finish(), NONE)], "a module that load is not beside"),
        (
            [(Gemm(0, 1, (1, 1), (0, 0), reset=True), NONE), (Finish(), NONE)],
            "micro-op buffer, which was never written",
        ),
        ([(store(1), NONE), (Finish(), NONE)], "reads entry 0 of the output buffer, which was never written"),
    ],
)
def test_what_no_accelerator_runs_is_named(program, fault):
    with pytest.raises(SimulationError, match=fault):
        run(*program)


def test_the_end_must_wait_for_the_last_store():
    program = gemm()
    instructions = program.code.instructions.copy()
    instructions[-1, 0] &= ~np.uint64(Tokens.POP_NEXT)
    with pytest.raises(SimulationError, match="FINISH does not wait for the last store"):
        program.with_instructions(instructions).run()


@pytest.mark.parametrize("values", [{}, {"load_slots": 1, "store_slots": 1}, {"order": 1, "load_slots": 4}])
def test_every_token_that_is_left_out_is_found(values):
    program = gemm(**values)
    program.run()
    found = 0
    for number in range(len(program.code.instructions)):
        for token in (POP_P, POP_N, PUSH_P, PUSH_N):
            instructions = program.code.instructions.copy()
            if instructions[number, 0] & np.uint64(token):
                instructions[number, 0] &= ~np.uint64(token)
                with pytest.raises(SimulationError):
                    program.with_instructions(instructions).run()
                found += 1
    assert found > 20


def test_a_token_left_out_is_found_where_this_run_goes_well():
    """The store is over long before the accumulators are needed again: by cycles alone nobody would see it."""
    program = gemm(tile_m=24, tile_n=16, load_slots=4)
    instructions = program.code.instructions.copy()
    _, good = program.run()
    waits = [n for n, word in enumerate(instructions[:-1, 0]) if int(word) & 7 == Opcode.GEMM and int(word) & POP_N]
    assert waits
    instructions[waits[0], 0] &= ~np.uint64(Tokens.POP_NEXT)
    with pytest.raises(SimulationError, match="without a token from store"):
        program.with_instructions(instructions).run()
    assert good.cycles > 0


@pytest.mark.parametrize("name", ["inputs", "weights", "accumulators", "micro_ops"])
def test_a_buffer_that_is_one_entry_too_small_is_found(name):
    program = gemm()
    needed = {
        "inputs": 2 * program.tiling.input_entries,
        "weights": 2 * program.tiling.weight_entries,
        "accumulators": program.tiling.bias_base + program.tiling.blocks_out,
        "micro_ops": len(program.code.micro_ops),
    }[name]
    program.run(replace(program.tiling.hardware, **{name: needed}))
    with pytest.raises(SimulationError, match=f"buffer, which has {needed - 1}"):
        program.run(replace(program.tiling.hardware, **{name: needed - 1}))


def test_an_accumulator_that_is_needed_too_early_is_found():
    program = gemm(tile_n=32, tile_m=8, loops=0)  # loops over output blocks and points: input blocks are listed
    assert program.tiling.loops == ("out", "columns")
    serial = gemm(tile_n=32, tile_m=8, tile_k=48, loops=0)
    serial.run(replace(serial.tiling.hardware, access=1))
    with pytest.raises(SimulationError, match="is needed 1 cycle after it was written; that takes 2"):
        serial.run()


def test_a_queue_that_is_full_keeps_what_is_behind_it_waiting():
    program = gemm()
    result, quick = program.run()
    same, slow = program.run(replace(program.tiling.hardware, queue=1))
    assert np.array_equal(result, same)
    assert slow.cycles >= quick.cycles
    with pytest.raises(SimulationError, match="more than 1 tokens"):
        run(
            *[(load(Memory.INPUT, 1), PUSH_N)] * 2,
            (Finish(), NONE),
            hardware=replace(HARDWARE, tokens=1),
        )
