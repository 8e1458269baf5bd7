"""Whether this processor has the instructions that a saved model's code uses. Needs no TVM to tell."""

from __future__ import annotations

from flextune.apply.signature import Signature
from flextune.errors import EnvironmentFault
from flextune.target import kinds
from flextune.target.host import host


def check_instructions(signature: Signature, source: str) -> None:
    """Raise EnvironmentFault when the code may use instructions that this machine lacks."""
    if not signature.instructions:
        return
    kind = kinds.get(signature.target.partition(":")[0])
    missing = kinds.host_support(kind).lacking(signature.instructions)
    if missing:
        raise EnvironmentFault(
            f"{source} was compiled for {signature.target}; this machine ({host().cpu_name}) lacks "
            f"{', '.join(missing[:6])}; compile the model again here"
        )
