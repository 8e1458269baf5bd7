"""A scheduled kernel as C."""

from __future__ import annotations

import tvm

from flextune.errors import BuildError
from flextune.tvm_types import PrimFunc


def c_source(function: PrimFunc, name: str) -> str:
    """C with TVM's calling convention; vectors are loops. BuildError where it uses what C has no words for."""
    module = tvm.IRModule({name: function.with_attr("global_symbol", name)})
    try:
        with tvm.transform.PassContext(config={"tirx.disable_vectorize": True, "tirx.disable_assert": True}):
            return str(tvm.compile(module, target="c").mod.inspect_source())
    except (RuntimeError, ValueError, TypeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BuildError(f"{name} has no form in C: {reason:.200}") from error
