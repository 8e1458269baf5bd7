"""References share no code with what is checked against them: here the platform's exp is 42, and TVM's as well."""

import os
import textwrap
from pathlib import Path

import pytest
from tvm import te

from flextune.csp.assignment import Assignment
from flextune.measure import services
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.worker_pool import WorkerPool
from flextune.measure.worker_process import Worker
from flextune.schedule.trace import Trace
from flextune.target.detect import detect
from flextune.trial.measurement import Candidate, Status
from flextune.workload.tir import from_prim_func

pytestmark = [pytest.mark.xdist_group("workers"), pytest.mark.hardware("x86")]

OPTIONS = MeasureOptions(workers=1, repeats=1, min_repeat_secs=0.0)

SABOTAGED = """
    from flextune.measure.service import KernelService
    from flextune.platforms import platform_registry

    class SabotagedKernels(KernelService):
        @staticmethod
        def preload(what):
            if what and not platform_registry.loaded():
                from tvm import tirx
                from flextune.platforms.x86 import elementary

                elementary.exp = lambda value: tirx.const(42.0, str(value.ty))
                wrong = lambda call: tirx.const(42.0, str(call.ty))
                tirx.op.register_intrin_lowering("tirx.exp", "llvm", f=wrong, level=1000)
                platform_registry.get(what)
"""


def exponential() -> Candidate:
    """A program of a model, whose reference is the program itself without a schedule."""
    given = te.placeholder((4, 16), name="x")
    program = te.create_prim_func([given, te.compute((4, 16), lambda i, j: te.exp(given[i, j]), name="y")])
    return Candidate(from_prim_func(program, "exponential"), detect(), Trace(()), Assignment({}))


def test_a_platform_that_computes_a_function_wrongly_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sabotaged_kernels.py").write_text(textwrap.dedent(SABOTAGED))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(services, "_SERVICES", dict(services._SERVICES))
    services.register("sabotaged kernels", "sabotaged_kernels:SabotagedKernels")
    for service, status in (("kernels", Status.OK), ("sabotaged kernels", Status.WRONG_OUTPUT)):
        with WorkerPool(OPTIONS, 1, service) as pool:
            [measurement] = pool.measure([exponential()])
        assert measurement.status is status, measurement.error
    assert "is 42, expected" in measurement.error


def test_a_process_with_a_platform_computes_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loaded_references.py").write_text(
        textwrap.dedent("""
        from flextune.measure.references import ReferenceService
        from flextune.platforms import platform_registry

        class LoadedReferences(ReferenceService):
            def __init__(self, options, cores):
                platform_registry.get("null")
        """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(services, "_SERVICES", dict(services._SERVICES))
    services.register("loaded references", "loaded_references:LoadedReferences")
    request = {"workload": {"workload": "gemm:m=2,n=2,k=2", "body": None}, "folder": str(tmp_path)}
    for service, status in (("references", Status.OK), ("loaded references", Status.RUN_ERROR)):
        with Worker.of_service(service) as worker:
            reply = worker.call(request, 60).reply
        assert reply["status"] == status
    assert "without a platform, but null is loaded" in reply["error"]
