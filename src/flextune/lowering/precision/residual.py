"""The residual stream of a model: the values between kernels that are summed layer after layer and normalised.

before a transformer's layer:  s = s + matmul(attention(norm(s)));   after it:  s = norm(s + matmul(attention(s)))

A value that only products of matrices read loses nothing by being stored as bfloat16: they round it anyway. A sum that
goes from layer to layer is rounded again in each of them, and what that adds up to is the largest error of a
transformer in bfloat16. So whatever rows are summed of, which is what normalisations do, stays float32, and whatever is
carried element by element into a value that does. Other sums, as those of convolutional networks, are not in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

import tvm
from tvm import relax

from flextune.analysis.blocks import read_program
from flextune.analysis.flow import Flow, read_flow
from flextune.tvm_types import RelaxBinding, RelaxExpr, RelaxVar


def residual_stream(
    module: tvm.IRModule, sites: Sequence[RelaxBinding], after: Iterable[RelaxVar] = ()
) -> frozenset[RelaxVar]:
    """The variables of the stream among the results and arguments of `sites`, bindings of calls of plain kernels with
    one result, in program order. `after` are variables of which it is known that they are in it.
    """

    @cache
    def flow(name: str) -> Flow:
        program = read_program(module[name])
        assert program is not None
        return read_flow(program)

    found = set(after)
    for binding in reversed(sites):
        name, arguments = binding.value.args[0].name_hint, binding.value.args[1].fields
        carried = flow(name).carried if binding.var in found else frozenset()
        found |= _variables_at(arguments, flow(name).summed | carried)
    return frozenset(found)


def _variables_at(arguments: Sequence[RelaxExpr], positions: Collection[int]) -> set[RelaxVar]:
    return {arguments[position] for position in positions if isinstance(arguments[position], relax.Var)}
