"""The `flextune` command: one verb per file, one place that turns errors into exit codes.

Verbs import what they work with inside their function, not at the top: `flextune --help` and a mistyped option must
answer in a fraction of a second, and TVM alone takes longer than that to load.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from flextune import __version__
from flextune.cli import (
    accuracy,
    analyze,
    compile_model,
    completion,
    doctor,
    fleet,
    inspect,
    minimize,
    passes,
    pretrain,
    records,
    replay,
    report,
    run,
    show,
    space,
    strategies,
    tune,
    watch,
)
from flextune.errors import FlextuneError
from flextune.printable import printable
from flextune.temporary import remove_own_folders
from flextune.torch_import import hide_torch

_DEBUG = "--debug"

_COLLECTED_EVERY = (50_000, 20, 100)
"""Thresholds of the garbage collector. Programs are built of many objects that live on and hold no cycles: with
Python's own thresholds, going through them again and again takes a tenth of a build."""


class _Verbs(TyperGroup):
    """Turns Ctrl-C into an error like any other, so that `main` alone decides about exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise FlextuneError("interrupted") from error


def describe(error: Exception) -> tuple[str, int]:
    """The one-line message and the exit code an error ends with."""
    if isinstance(error, FlextuneError):
        return printable(" ".join(str(error).splitlines())), error.exit_code
    if isinstance(error, MemoryError):
        return "out of memory: close other programs or take a smaller problem", 1
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full while writing {error.filename or 'a file'}: free some space and run it again", 1
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.filename else str(error), 1
    first_line = next(iter(str(error).splitlines()), "")
    return (
        f"internal error ({type(error).__name__}: {printable(first_line[:300])}); run again with --debug and report it",
        1,
    )


app = typer.Typer(
    name="flextune",
    cls=_Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tunes tensor programs and whole models for the machine at hand; the result is never slower than the default.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"flextune {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that hold for every verb."""
    del debug, show_version


app.command("doctor")(doctor.doctor)
app.command("analyze")(analyze.analyze)
app.command("space")(space.space)
app.command("inspect")(inspect.inspect)
app.command("tune")(tune.tune)
app.command("passes")(passes.passes)
app.command("strategies")(strategies.strategies)
app.command("pretrain")(pretrain.pretrain)
app.command("minimize")(minimize.minimize)
app.command("accuracy")(accuracy.accuracy)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("watch")(watch.watch)
app.command("compile")(compile_model.compile_model)
app.command("completion")(completion.completion)
app.command("fleet")(fleet.fleet)
app.command("replay")(replay.replay)
app.command("run")(run.run)
app.add_typer(records.app, name="records")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _warn(message: Warning | str, *_where: object) -> None:
    """A warning as one line without the place in our code that it came from."""
    print(f"flextune: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point. `--debug` may stand anywhere on the line; SIGTERM and a closed terminal end a run as Ctrl-C does.

    With `arguments` it raises `SystemExit`; without, it is the command itself, and the process ends here.
    """
    if arguments is not None:
        _run(arguments)
    if sys.stderr is None:  # closed from the start: `print` would take stdout, and the next file its number
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    hide_torch()
    gc.set_threshold(*_COLLECTED_EVERY)
    warnings.showwarning = _warn  # type: ignore[assignment]
    try:
        _run(sys.argv[1:])
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else int(end.code is not None))


def _run(given: Sequence[str]) -> NoReturn:
    debug = _DEBUG in given
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where the terminal cannot show a letter such as the micro sign
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else `nohup` wants it ignored
        signal.signal(signal.SIGHUP, _terminate)
    completion.answer_shells()
    try:
        app([_DEBUG] * debug + [argument for argument in given if argument != _DEBUG], prog_name="flextune")
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the outermost frame: everything ends in one line and an exit code
        if debug:
            traceback.print_exception(error)
        sys.exit(_told(error))


def _told(error: Exception) -> int:
    """The exit code, after the message."""
    message, code = describe(error)
    print(f"flextune: {message}", file=sys.stderr)
    return code


def _leave(code: int) -> NoReturn:
    """End at once. Taking TVM and XGBoost apart takes Python a third of a second, and can crash where kernels live."""
    try:
        if sys.stdout is not None:  # closed from the start
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # who read it has seen enough
    except OSError as error:
        code = _told(error)
    remove_own_folders()
    os._exit(code)
