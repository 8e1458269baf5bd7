"""What measures on this machine: its runner, and the processes that several runners share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from flextune.errors import EnvironmentFault
from flextune.measure.launcher import Interpreter
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.services import libraries
from flextune.measure.worker_pool import WorkerPool
from flextune.target.kinds import scale_of, unmeasurable
from flextune.target.target import Target
from flextune.temporary import PrivateFolder


@contextmanager
def local_processes(target: Target) -> Iterator[Interpreter]:
    """Forks the workers of all runners that it is given to, which are to end before it does.

    It starts at once and loads TVM in the background, once for all of them: read the model meanwhile.
    """
    with ExitStack() as ends:
        folder = ends.enter_context(closing(PrivateFolder()))
        interpreter = ends.enter_context(closing(Interpreter(target.cores, folder.path, libraries(target.kind))))
        interpreter.server()
        yield interpreter


@contextmanager
def local_runner(
    options: MeasureOptions, target: Target, interpreter: Interpreter | None = None
) -> Iterator[WorkerPool]:
    """Measures candidates for a target in worker processes of this machine; they end with the `with` statement.

    They start at once, in the background, and load the target's platform: what comes next need not wait for them.
    `interpreter` forks them, one of their own where none is given. Where `options` name a board as the runner, programs
    run there. Raises `EnvironmentFault` where there is no device of such a target.
    """
    if fault := unmeasurable(target, options.runner or None):
        raise EnvironmentFault(fault)
    patient = options if scale_of(target).is_time else options.patient()
    with WorkerPool(patient, target.cores, interpreter=interpreter) as pool:
        pool.start(target.kind)
        yield pool
