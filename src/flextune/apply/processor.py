"""Whether this processor has the instructions that a saved model's code uses. Needs no TVM to tell."""

from __future__ import annotations

from flextune.apply.signature import Signature
from flextune.errors import EnvironmentFault
from flextune.target.host import ROOT, host, read_cpuinfo

LINUX_NAMES = {"sse3": "pni", "lzcnt": "abm", "bmi": "bmi1"}
"""Flags of /proc/cpuinfo that are not LLVM's names up to punctuation."""


def check_instructions(signature: Signature, source: str, flags: frozenset[str] | None = None) -> None:
    """Raise EnvironmentFault when the code may use instructions that this machine lacks.

    `flags` are those of /proc/cpuinfo; without any flags at all (no Linux on x86) nothing that needs some fits.
    """
    present = frozenset(read_cpuinfo(ROOT).get("flags", "").split()) if flags is None else flags
    plain = {_plain(flag) for flag in present}
    missing = [name for name in signature.instructions if _plain(LINUX_NAMES.get(name, name)) not in plain]
    if missing:
        raise EnvironmentFault(
            f"{source} was compiled for {signature.target}; this machine ({host().cpu_name}) lacks "
            f"{', '.join(missing[:6])}; compile the model again here"
        )


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(".", "")
