"""FPGAs: spaces with the cells of a part as limits, and overlays that Verilator simulates."""

from dataclasses import replace

import numpy as np
import pytest

from flextune.csp import Eq
from flextune.errors import FlextuneError, InfeasibleError, UsageError
from flextune.platforms.fpga.model import cycles_of
from flextune.platforms.fpga.overlay import Overlay
from flextune.platforms.fpga.platform import FpgaPlatform
from flextune.platforms.fpga.schedule import FREE_A, FREE_B, Schedule, commands_of, lines_of, result_of
from flextune.platforms.fpga.space import fpga_space
from flextune.platforms.fpga.verilator import SimulationError, program_of, run
from flextune.platforms.fpga.yosys import Cells, cells_of, read_cells
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

SMALL = Overlay(rows=4, columns=4, bus=8, results=4, depth=128, slots=4)
PART = Target.parse("fpga:zu3eg")


def product(schedule: Schedule, commands=None, latency: int = 20, seed: int = 0):
    """Cycles, the overlay's result, and NumPy's."""
    rng = np.random.default_rng(seed)
    left = rng.integers(-128, 128, (schedule.m, schedule.k)).astype(np.int8)
    right = rng.integers(-128, 128, (schedule.k, schedule.n)).astype(np.int8)
    commands = commands or commands_of(schedule)
    sums = schedule.panels[0] * schedule.panels[1] * schedule.overlay.elements
    program = program_of(schedule.overlay)
    cycles, values = run(program, commands, lines_of(schedule, commands, left, right), sums, latency)
    return cycles, result_of(schedule, values), left.astype(np.int32) @ right.astype(np.int32)


def predicted(schedule: Schedule, latency: int) -> float:
    overlay = schedule.overlay
    named = ("rows", "columns", "bus", "results", "depth", "slots")
    values = {name: getattr(overlay, name) for name in named} | {"tile_k": schedule.tile_k, "order": schedule.order}
    values |= {"steps_k": schedule.pieces, "panels_m": schedule.panels[0], "panels_n": schedule.panels[1]}
    sizes = (schedule.batches, schedule.m, schedule.n, schedule.k)
    return float(cycles_of(sizes, latency, {name: np.array([value]) for name, value in values.items()})[0])


def test_members_fit_the_part():
    space = fpga_space(parse_workload("gemm:m=64,n=48,k=100,dtype=int8"), PART)
    members = space.solutions.sample(np.random.default_rng(0), 300)
    columns = members.columns
    assert (columns["rows"] * columns["columns"] <= 360).all()
    assert (columns["luts"] <= 70560).all()
    assert (columns["brams"] <= 216).all()
    assert (columns["bus"] <= 16).all()
    assert (columns["bus"] % columns["rows"] == 0).all()
    assert (columns["tile_k"] <= columns["depth"]).all()
    assert {member["order"] for member in members} == {0, 1}
    names = {constraint.name for constraint in space.problem.constraints if constraint.reason}
    assert names == {"bus_rows", "bus_columns", "bus_width", "slot_depth", "dsp", "lut", "bram"}


def test_a_part_that_is_too_small_names_what_it_lacks():
    with pytest.raises(InfeasibleError, match="multiplier of its own"):
        fpga_space(parse_workload("gemm:m=8,n=8,k=8,dtype=int8"), Target.parse("fpga:zu3eg,dsp=8"))


@pytest.mark.parametrize("text", ["gemm:m=8,n=8,k=8", "gemm:m=8,n=8,k=8,dtype=int8,epilogue=relu"])
def test_what_the_overlay_does_not_compute_is_refused(text):
    with pytest.raises(UsageError, match="gemm and bmm of dtype=int8 without epilogue"):
        fpga_space(parse_workload(text), PART)


def test_what_stays_on_the_chip_is_loaded_once():
    held = commands_of(Schedule(SMALL, 1, 16, 16, 64, 32, 0))
    moved = commands_of(Schedule(SMALL, 1, 16, 16, 96, 32, 0))  # three pieces, and room for two beside two
    assert len(held.loads) == 4 * 2 + 16 * 2
    assert len(moved.loads) == 2 * 16 * 3


def test_cells_are_read_from_what_yosys_prints():
    report = "\n".join(
        ("     DSP48E2    16", "     LUT2   10", "     SRL16E   3", "     RAMB18E2   3", "     FDRE   7")
    )
    assert read_cells(report) == Cells(dsps=16, luts=13, brams=2, registers=7)


@pytest.mark.emulator("fpga")
@pytest.mark.parametrize("latency", [1, 20, 60])
def test_products_are_exact_and_the_model_says_how_long_they_take(latency):
    rng = np.random.default_rng(latency)
    wrong, errors = 0, []
    for seed in range(25):
        m, n, k = (int(each) for each in rng.integers(1, 70, 3))
        tile_k = int(rng.choice([16 * count for count in range(1, -(-k // 16) + 1)]))
        schedule = Schedule(SMALL, 1, m, n, k, tile_k, int(rng.integers(2)))
        cycles, result, expected = product(schedule, None, latency, seed)
        wrong += not np.array_equal(result, expected)
        errors.append(abs(predicted(schedule, latency) / cycles - 1))
    assert wrong == 0
    assert np.mean(np.array(errors) <= 0.1) >= 0.9


@pytest.mark.emulator("fpga")
def test_large_products_use_almost_every_cycle():
    cycles, result, expected = product(Schedule(SMALL, 1, 64, 64, 128, 64, 0))
    assert np.array_equal(result, expected)
    assert 64 * 64 * 128 / SMALL.elements / cycles > 0.85


@pytest.mark.emulator("fpga")
def test_a_slot_that_is_never_free_or_freed_too_early_is_found():
    schedule = Schedule(SMALL, 1, 32, 32, 64, 32, 0)
    commands = commands_of(schedule)
    steps = commands.steps.copy()
    steps[:, 3] &= ~np.uint32(FREE_B)
    with pytest.raises(SimulationError, match="never free"):
        product(schedule, replace(commands, steps=steps))
    steps = commands.steps.copy()
    steps[0, 3] |= FREE_A  # the next tile of this row needs it
    with pytest.raises(SimulationError, match="waits for what never comes"):
        product(schedule, replace(commands, steps=steps))


@pytest.mark.emulator("fpga")
def test_memory_that_is_slow_is_no_slot_that_never_comes():
    cycles, result, expected = product(Schedule(SMALL, 1, 4, 4, 16, 16, 0), latency=250_000)
    assert np.array_equal(result, expected)
    assert cycles > 250_000


@pytest.mark.emulator("fpga")
@pytest.mark.parametrize("text", ["gemm:m=20,n=9,k=40,dtype=int8,ta=1,tb=1", "bmm:b=2,m=9,n=20,k=33,dtype=int8"])
def test_members_on_one_overlay_compute_the_workload(text):
    workload, platform = parse_workload(text), FpgaPlatform()
    space = platform.search_space(workload, PART)
    pinned = {name: getattr(SMALL, name) for name in ("rows", "columns", "bus", "results", "depth", "slots")}
    members = space.solutions.restrict([Eq(name, value) for name, value in pinned.items()])
    drawn = members.sample(np.random.default_rng(3), 3)
    candidates = [Candidate(workload, PART, space.trace, member) for member in drawn]
    for artifact in platform.build(candidates):
        kernel = platform.load(artifact)
        assert output_fault(kernel, workload) == ""
        assert kernel.time(1, 1)[0] >= workload.flops / 2 / SMALL.elements
    bad = replace(candidates[0], trace=Trace.from_json('[{"step": "mark", "loop": "i", "how": "parallel"}]'))
    with pytest.raises(FlextuneError, match="takes no steps"):
        platform.build([bad])


@pytest.mark.emulator("fpga")
def test_cells_are_about_as_many_as_the_space_says():
    cells = cells_of(SMALL)
    assert cells.dsps == SMALL.dsps
    assert cells.brams == SMALL.brams
    space = fpga_space(parse_workload("gemm:m=8,n=8,k=16,dtype=int8"), PART)
    pinned = [Eq(name, getattr(SMALL, name)) for name in ("rows", "columns", "bus", "results", "depth", "slots")]
    member = space.solutions.restrict(pinned).sample(np.random.default_rng(0), 1)[0]
    assert abs(member["luts"] / cells.luts - 1) < 0.3
