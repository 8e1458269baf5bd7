"""`python -m tests.distribution WHEEL`: what somebody has who only ran `pip install flextune`; `make dist` runs it.

The wheel is installed in an empty environment, and its command is run with nothing else on PATH: no compiler, no
linker, no shell. A model is compiled, tuned for some seconds, compiled from the records, and its outputs are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

_INSIDE = Path(__file__).with_name("shipped_model.py")
_MOST_SECS = 600.0


class Environment:
    """A virtual environment, and a folder in which its programs run with no others in reach."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = folder / "environment" / "bin"
        self._work = folder / "work"
        self._work.mkdir()

    def install(self, wheel: Path) -> None:
        """With all that the wheel requires, and no extra."""
        venv.create(self._programs.parent, with_pip=True)
        options = ("-q", "--disable-pip-version-check")
        subprocess.run([self._programs / "python", "-m", "pip", "install", *options, wheel], check=True)

    def run(self, program: str, *arguments: str | Path) -> str:
        """What it prints. Exits with what it said where it fails."""
        bare = {"PATH": str(self._programs), "HOME": str(self._folder), "LANG": "C.UTF-8"}
        command = [self._programs / program, *arguments]
        done = subprocess.run(
            command, cwd=self._work, env=bare, capture_output=True, text=True, timeout=_MOST_SECS, check=False
        )
        if done.returncode:
            shown = " ".join(map(str, arguments))
            sys.exit(f"{program} {shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--minutes", default="0.3", help="time for tuning")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flextune-dist-") as folder:
        environment = Environment(Path(folder))
        environment.install(arguments.wheel.resolve(strict=True))
        check(environment, arguments.minutes, arguments.wheel.name.split("-")[1])


def check(environment: Environment, minutes: str, version: str) -> None:
    """Exits with a message on the first step that is not as it should be."""
    printed = environment.run("flextune", "--version").strip()
    _expect(printed == f"flextune {version}", f"--version printed {printed!r}, but the wheel is of {version}")
    doctor = json.loads(environment.run("flextune", "doctor", "--no-peaks", "--json"))
    linker = next(part["found"] for part in doctor["parts"] if part["name"] == "linker")
    _expect(linker.startswith("ziglang"), f"the linker must be that of the ziglang package, got {linker!r}")
    _expect("complete -" in environment.run("flextune", "completion", "bash"), "no completion for bash")
    environment.run("python", _INSIDE, "make", "model.onnx")
    environment.run("flextune", "compile", "model.onnx", "-o", "default.so")
    print(environment.run("python", _INSIDE, "check", "model.onnx", "default.so"), end="")
    tuned = json.loads(environment.run("flextune", "tune", "model.onnx", "--minutes", minutes, "--json"))
    _expect(bool(tuned), "tune printed nothing")
    environment.run("flextune", "compile", "model.onnx", "-o", "tuned.so")
    print(environment.run("python", _INSIDE, "check", "model.onnx", "tuned.so"), end="")
    print(environment.run("flextune", "show").splitlines()[0])
    environment.run("flextune", "report")
    print(f"flextune {version} works from its wheel, with {linker} and no compiler")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(otherwise)


if __name__ == "__main__":
    main()
