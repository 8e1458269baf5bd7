"""The parameters of a product in Triton, with the limits that its compiler does not check as constraints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.csp import Constraint, Domain, Le, Problem, Prod, Sum, Variable
from flextune.csp.constraint import Operand
from flextune.platforms.triton.form import Product, product_of
from flextune.schedule.space import Columns, SearchSpace, promising_space
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload.workload import Workload

RULE = "triton-product"
_BLOCKS = (16, 32, 64, 128, 256)
_LEAST_BYTE_STEPS = 32
"""Of products of bytes, which tensor cores take so many at once."""
_OTHER_REGISTERS, _OTHER_REGISTERS_RDNA3 = 64, 224
"""Addresses, operands in flight and loop counters of a thread, beside its sums; RDNA3 holds operands twice."""
_SUM_BYTES = 4
_SUMS = tuple(1 << power for power in range(10))
"""Of a thread."""
_SPLITS = (1, 2, 4, 8, 16)


def triton_space(workload: Workload, target: Target) -> SearchSpace:
    """Raises `UsageError` for what is not computed, `InfeasibleError` where nothing fits the target."""
    form = product_of(workload)
    draft = _Draft(form, target)
    problem = Problem(tuple(draft.variables), tuple(draft.constraints))

    def promise(columns: Columns) -> npt.NDArray[np.float64]:
        return _promise(form, target, columns)

    return promising_space(workload, target, Trace(()), problem, (RULE,), (promise,))


class _Draft:
    """Variables and constraints as they come to be."""

    def __init__(self, form: Product, target: Target) -> None:
        self.variables: list[Variable] = []
        self.constraints: list[Constraint] = []
        steps = _LEAST_BYTE_STEPS if form.operand_bytes == 1 else 16
        for name, values in (
            ("block_m", _fitting(form.m, 16)),
            ("block_n", _fitting(form.n, 16)),
            ("block_k", _fitting(form.k, steps)[:4]),
            ("group", (1, 4, 8)),
            ("warps", (2, 4, 8, 16)),
            ("stages", (1, 2, 3, 4, 5)),
            ("split_k", tuple(each for each in _SPLITS if each == 1 or each * 4 * steps <= form.k)),
        ):
            self.variables.append(Variable(name, Domain.of(*values)))
        self._require_threads(target)
        self._require_shared(form, target)

    def _require_threads(self, target: Target) -> None:
        self._product("threads", "warps", target.number("warp"))
        self._at_most("threads", target.number("threads"), f"a block has at most {target.number('threads')} threads")
        self._product("elements", "block_m", "block_n")
        self.variables.append(Variable("sums", Domain.of(*_SUMS)))
        self.constraints.append(Prod("elements", ("sums", "threads"), name="sums_of_threads", rule=RULE))
        is_rdna3 = target.word("arch").startswith("gfx11")
        self._sum("thread_registers", "sums", _OTHER_REGISTERS_RDNA3 if is_rdna3 else _OTHER_REGISTERS)
        self._at_most(
            "thread_registers", target.number("thread_registers"),
            f"a thread's sums fit its {target.number('thread_registers')} registers, or they are spilled to memory",
        )  # fmt: skip

    def _require_shared(self, form: Product, target: Target) -> None:
        self._sum("rows_and_columns", "block_m", "block_n")
        self._product("step_bytes", "rows_and_columns", "block_k", form.operand_bytes)
        self._product("shared_bytes", "step_bytes", "stages")
        reason = f"the operands of all stages fit the {target.number('shared')} bytes of a block"
        self._at_most("shared_bytes", target.number("shared"), reason)
        if target.word("arch").startswith("sm_"):  # results change hands between threads on their way to memory
            self._product("result_shared_bytes", "elements", _SUM_BYTES)
            reason = f"the results of a tile fit the {target.number('shared')} bytes of a block"
            self._at_most("result_shared_bytes", target.number("shared"), reason)

    def _product(self, name: str, *factors: Operand) -> None:
        self.variables.append(Variable(name))
        self.constraints.append(Prod(name, factors, name=f"{name}_count", rule=RULE))

    def _sum(self, name: str, *terms: Operand) -> None:
        self.variables.append(Variable(name))
        self.constraints.append(Sum(name, terms, name=f"{name}_sum", rule=RULE))

    def _at_most(self, name: str, most: int, reason: str) -> None:
        self.constraints.append(Le(name, most, name=f"{name}_limit", reason=reason, rule=RULE))


def _fitting(extent: int, least: int) -> tuple[int, ...]:
    """Blocks from `least` on that are not twice as long as the extent needs."""
    return tuple(each for each in _BLOCKS if each >= least and (each == least or each < 2 * extent))


def _promise(form: Product, target: Target, columns: Columns) -> npt.NDArray[np.float64]:
    """Reuse of what is read, units that are all busy, copies that are ahead."""
    m, n, split = (columns[name].astype(float) for name in ("block_m", "block_n", "split_k"))
    tiles = np.ceil(form.m / m) * np.ceil(form.n / n)
    blocks = tiles * form.batch * split
    units = target.number("units")
    filled = blocks / (np.ceil(blocks / units) * units)
    useful = form.m * form.n / (tiles * m * n)
    ahead = np.minimum(columns["stages"], 3) / 3.0
    long = np.minimum(columns["block_k"] * form.operand_bytes, 128) / 128.0
    sums = columns["sums"]
    busy = np.minimum(sums, 64) / 64.0 / (1.0 + np.maximum(sums - 128, 0) / 128)
    grouped = np.where(columns["group"] == 8, 1.0, 0.95)
    return np.asarray(
        useful * filled * (m * n / (m + n)) ** 0.7 * ahead**0.5 * long**0.3 * busy**0.3 * grouped / split**0.3
    )
