"""CPUs that are not the host: their targets, what is said where tools are missing, and kernels in an emulator."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import tvm

from flextune.apply.threads import default_thread_count
from flextune.errors import BuildError, ScheduleError, UsageError
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.native.toolchain import compile_c, include_folder, link
from flextune.platforms import platform_registry
from flextune.platforms.arm.kind import llvm_attributes
from flextune.platforms.cpu.cross import toolchain
from flextune.platforms.cpu.cross.emulated_kernel import EmulatedKernel
from flextune.platforms.riscv.kind import llvm_attributes as riscv_attributes
from flextune.quantities import CostOrigin, Unit
from flextune.schedule.instructions import define_intrinsic
from flextune.target import kinds
from flextune.target.doctor import device_parts
from flextune.target.target import Target, known_devices
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate, Status
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

SPACEMIT = Target.parse("riscv:spacemit-k1")
RK3588 = Target.parse("arm:rk3588")
GRAVITON3 = Target.parse("arm:graviton3")


def test_devices_are_targets_that_round_trip() -> None:
    devices = [name for name in known_devices() if name.startswith("arm:")]
    assert {"arm:rk3588", "arm:raspberrypi5", "arm:graviton3"} <= set(devices)
    for name in devices:
        target = Target.parse(name)
        assert Target.parse(str(target)) == target
        assert target.vector_bits == 128


def test_an_unknown_device_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean rk3588"):
        Target.parse("arm:rk3589")


def test_features_that_a_processor_lacks_are_switched_off() -> None:
    attributes = llvm_attributes(Target.parse("arm:raspberrypi4"))
    assert {"+neon", "-fullfp16", "-dotprod", "-i8mm", "-sve"} <= set(attributes)
    assert "+i8mm" in llvm_attributes(GRAVITON3)


def test_their_runner_counts_instructions() -> None:
    scale = kinds.scale_of(RK3588, "qemu")
    assert (scale.unit, scale.origin) == (Unit.INSTRUCTIONS, CostOrigin.SIMULATED)
    with pytest.raises(UsageError, match=r"unknown runner 'board'.*qemu, ssh:HOST"):
        kinds.runner_of(RK3588, "board")
    with pytest.raises(UsageError, match=r"unknown runner 'qemu'.*local"):
        kinds.runner_of(Target.parse("null:cpu=any,cores=1"), "qemu")


def test_what_is_missing_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    monkeypatch.setattr(toolchain, "zig_version", lambda: "")
    fault = kinds.unmeasurable(RK3588)
    assert "qemu-aarch64 (apt-get install qemu-user)" in fault
    assert "(pip install ziglang)" in fault
    missing = {part.name: part.how for part in device_parts(Target.parse("null:cpu=any,cores=1")) if not part.found}
    assert missing["qemu-aarch64"] == "apt-get install qemu-user"


def test_an_emulator_that_cannot_count_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """QEMU 9 refuses plugins of the interface that 8 has."""
    emulator = tmp_path / "qemu-aarch64"
    emulator.write_text("#!/bin/sh\necho qemu-aarch64 version 10.0.2\n")
    emulator.chmod(0o700)
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: str(emulator))
    assert "qemu-aarch64 (expected QEMU 7 or 8" in kinds.unmeasurable(RK3588)


def test_intrinsics_belong_to_their_family_alone() -> None:
    """Neither has x86 those of Arm, nor Arm those of x86, nor a processor without the feature."""
    for kind in ("arm", "x86"):
        platform_registry.get(kind)
    for target in (Target.parse("x86:znver4"), Target.parse("arm:raspberrypi4")):
        with pytest.raises(ScheduleError):
            define_intrinsic("flextune.sdot_s8s8", target)
    with pytest.raises(ScheduleError, match="usdot"):
        define_intrinsic("flextune.usdot_u8s8", RK3588)
    with pytest.raises(ScheduleError, match="vnni"):
        define_intrinsic("flextune.vnni_u8s8", GRAVITON3)


def test_models_are_not_timed_for_a_target_that_is_elsewhere() -> None:
    with pytest.raises(UsageError, match=r"--runner qemu.*compile the model"):
        kinds.check_models_run(RK3588)
    kinds.check_models_run(Target.parse("null:cpu=any,cores=1"))
    assert default_thread_count(RK3588) == 4


def test_marks_are_the_same_in_program_and_plugin() -> None:
    texts = [(include_folder() / name).read_text() for name in ("kernel_program.h", "instruction_counts.c")]
    assert all("0x7f01" in text and "0x7f02" in text for text in texts)


_OF_QEMU = """
#include "instruction_counts.c"
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t a, translation_callback b) { (void)a, (void)b; }
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t a, syscall_callback b) { (void)a, (void)b; }
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t a, void (*b)(qemu_plugin_id_t, void *), void *c) {
  (void)a, (void)b, (void)c;
}
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *a, int b, void *c, uint64_t d) {
  (void)a, (void)b, (void)c, (void)d;
}
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *a) { return a == NULL; }
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *a, size_t b) {
  return (void)a, (void)b, NULL;
}
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *a) { return a; }
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *a) { return a == NULL; }
EXPORTED const char *class_of_word(uint32_t word) { return NAMES[class_of_hexagon(word, 4)]; }
"""


def test_words_of_hexagon_are_of_the_class_of_what_they_do(tmp_path: Path) -> None:
    """As LLVM's assembler writes them; those that compare and jump are of the groups of HVX."""
    words = {
        0x1001C424: "branch",  # p0 = cmp.eq(r1,#4); if (p0.new) jump
        0x2402C328: "branch",  # if (cmp.eq(r2.new,#3)) jump
        0x5800C020: "branch",  # jump
        0x1C02E140: "vector",  # v0.w += vrmpy(v1.ub,v2.b)
        0x19A1C020: "vector",  # v0 = vsplat(r1)
        0x2820C001: "load_store",  # vmem(r0) = v1
        0x9181C020: "load_store",  # r0 = memw(r1+#4)
        0xB0024022: "other",  # r2 = add(r2,#1)
    }
    library = ctypes.CDLL(str(link([compile_c(_OF_QEMU, tmp_path / "counts.o")], tmp_path / "counts.so")))
    library.class_of_word.restype = ctypes.c_char_p
    assert {word: library.class_of_word(word).decode() for word in words} == words


def test_it_loads_no_program_of_another_family() -> None:
    from flextune.trial.artifact import Artifact

    with pytest.raises(BuildError, match="program for Arm"):
        platform_registry.get("arm").load(Artifact("program for RISC-V, generic", b"\x7fELF"))


def test_vectors_of_risc_v_have_a_fixed_length() -> None:
    """`+v` would make scalable loops of many times as many instructions."""
    attributes = riscv_attributes(SPACEMIT)
    assert {"-v", "+zve64d", "+zvl256b"} <= set(attributes)
    assert SPACEMIT.vector_bits == 256
    assert "+zve64d" not in riscv_attributes(Target.parse("riscv:cpu=generic-rv64,cores=1"))
    with pytest.raises(UsageError, match="expected a power of 2 from 64 on for vlen, got 96"):
        Target.parse("riscv:spacemit-k1,vlen=96")
    assert "at most 1024 bits" in kinds.unmeasurable(Target.parse("riscv:spacemit-k1,vlen=2048"))


def test_half_precision_is_refused_on_risc_v(tmp_path: Path) -> None:
    """Its conversions came out wrong there: in kernels, which are checked, and in models, which are not."""
    workload = parse_workload("gemm:m=8,n=8,k=8,dtype=float16")
    with pytest.raises(UsageError, match="take float32"):
        platform_registry.get("riscv").search_space(workload, SPACEMIT)
    module = tvm.IRModule({"main": workload.prim_func()})
    with pytest.raises(BuildError, match="main has float16"):
        platform_registry.compiler("riscv").write_object(module, SPACEMIT, tmp_path / "main.o")


@pytest.mark.emulator("riscv")
class TestRiscvKernels:
    @pytest.mark.parametrize(
        ("target", "text"),
        [
            ("riscv:spacemit-k1", "gemm:m=17,n=33,k=65,epilogue=bias+relu"),
            ("riscv:sifive-p470", "conv2d:h=9,w=9,ci=3,co=20,kh=3,kw=3,pad=1,weights=constant"),
            ("riscv:generic-rvv512", "gemm:m=20,n=36,k=44,dtype=int8,weights=constant"),
            ("riscv:cpu=generic-rv64,cores=1", "gemm:m=9,n=10,k=11"),
        ],
    )
    def test_default_schedules_compute_the_workload(self, target: str, text: str) -> None:
        kernel, workload = default_kernel(Target.parse(target), text)
        assert output_fault(kernel, workload) == ""

    def test_products_take_little_more_than_the_least_vector_instructions(self) -> None:
        kernel, workload = default_kernel(SPACEMIT, "gemm:m=96,n=96,k=128,weights=constant")
        assert output_fault(kernel, workload) == ""
        assert workload.flops / 16 <= kernel.parts()["vector"] <= 1.15 * workload.flops / 16


def test_hexagon_refuses_floating_point() -> None:
    for text in ("gemm:m=8,n=8,k=8", "softmax:rows=7,cols=50"):
        with pytest.raises(UsageError, match="dtype=int8"):
            platform_registry.get("hexagon").search_space(parse_workload(text), Target.parse("hexagon:v68"))


@pytest.mark.emulator("hexagon")
@pytest.mark.parametrize(
    "text",
    [
        "gemm:m=20,n=36,k=44,dtype=int8",
        "gemm:m=32,n=64,k=128,dtype=uint8,weights=constant",
        "gemm:m=5,n=7,k=3,dtype=uint8,epilogue=bias+relu",
        "conv2d:h=9,w=9,ci=16,co=32,kh=3,kw=3,pad=1,dtype=int8,layout=nhwc,weights=constant",
        "conv2d:h=9,w=9,ci=3,co=20,kh=3,kw=3,stride=2,dtype=uint8",
    ],
)
def test_products_of_bytes_are_exact_on_hexagon(text: str) -> None:
    kernel, workload = default_kernel(Target.parse("hexagon:v66"), text)
    assert output_fault(kernel, workload) == ""


@pytest.mark.emulator("hexagon")
def test_random_schedules_are_exact_on_hexagon() -> None:
    target, platform = Target.parse("hexagon:v68"), platform_registry.get("hexagon")
    workload = parse_workload("gemm:m=20,n=64,k=48,dtype=int8,weights=constant")
    space = platform.search_space(workload, target)
    drawn = space.solutions.sample(np.random.default_rng(0), 4)
    artifacts = platform.build([Candidate(workload, target, space.trace, each) for each in drawn])
    assert [output_fault(platform.load(each), workload) for each in artifacts] == [""] * 4


def default_kernel(target: Target, text: str) -> tuple[EmulatedKernel, Workload]:
    workload, platform = parse_workload(text), platform_registry.get(target.kind)
    space = platform.search_space(workload, target)
    [artifact] = platform.build([Candidate(workload, target, space.trace, space.default)])
    kernel = platform.load(artifact)
    assert isinstance(kernel, EmulatedKernel)
    return kernel, workload


@pytest.mark.emulator("arm")
class TestArmKernels:
    @pytest.mark.parametrize(
        ("target", "text"),
        [
            (RK3588, "gemm:m=17,n=33,k=65,epilogue=bias+relu"),
            (RK3588, "conv2d:h=9,w=9,ci=3,co=20,kh=3,kw=3,pad=1,dtype=float16,weights=constant"),
            (RK3588, "gemm:m=20,n=36,k=44,dtype=int8,weights=constant"),
            (GRAVITON3, "gemm:m=20,n=36,k=44,dtype=uint8,weights=constant"),
            (Target.parse("arm:raspberrypi4"), "gemm:m=20,n=36,k=44,dtype=int8"),
            (Target.parse("arm:raspberrypi4"), "gemm:m=9,n=20,k=17,dtype=float16"),
            (RK3588, "softmax:rows=7,cols=50"),
        ],
        ids=str,
    )
    def test_default_schedules_compute_the_workload(self, target: Target, text: str) -> None:
        kernel, workload = default_kernel(target, text)
        assert output_fault(kernel, workload) == ""
        assert sum(kernel.parts().values()) == kernel.time(3, 2)[0]

    def test_products_take_little_more_than_the_least_vector_instructions(self) -> None:
        """Packing weights as they come in takes none: SDOT's groups are made by interleaved stores."""
        for text, per_instruction in (("float32", 4), ("float16", 8), ("int8", 16)):
            kernel, workload = default_kernel(RK3588, f"gemm:m=96,n=96,k=128,dtype={text}")
            kernel.bind(
                workload.random_inputs(0), [array * 0 for array in workload.reference(workload.random_inputs(0))]
            )
            kernel.run()
            least = workload.flops / 2 / per_instruction
            assert least <= kernel.parts()["vector"] <= 1.1 * least

    def test_trials_are_checked_and_say_their_parts(self) -> None:
        workload, platform = parse_workload("gemm:m=24,n=24,k=16"), platform_registry.get("arm")
        space = platform.search_space(workload, RK3588)
        candidate = Candidate(workload, RK3588, space.trace, space.default)
        with local_runner(MeasureOptions(workers=1, build_timeout_secs=100, run_timeout_secs=60), RK3588) as runner:
            [found] = runner.measure([candidate])
        assert (found.status, found.error) == (Status.OK, "")
        assert {name for name, _ in found.metrics} == {"vector", "load_store", "branch", "other"}
        assert found.secs == sum(count for _, count in found.metrics) > 24 * 24 * 16 / 4
