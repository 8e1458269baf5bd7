"""Who takes part, by name: flextune's strategies, and those of other tuners where these are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from benchmarks.leaderboard.ledger import Ledger
from benchmarks.leaderboard.peers import kernel_tuner, optuna, own, pyatf
from benchmarks.leaderboard.space import RecordedSpace
from flextune.cost.cost_model_registry import cost_model_names
from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.search.strategy_registry import strategy_names


class Play(Protocol):
    """One run on a space: asks the ledger for evaluations until it has enough, or the ledger raises `Finished`.

    The same seed gives the same run. A failure of the tuner itself is an exception.
    """

    def __call__(self, space: RecordedSpace, ledger: Ledger, seed: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Contestant:
    """A strategy under the name it is listed with. `package` is what has to be installed for it."""

    name: str
    play: Play
    package: str = ""

    @property
    def installed(self) -> bool:
        return not self.package or importlib.util.find_spec(self.package) is not None


PEERS = {
    **{
        f"kernel-tuner:{name}": Contestant(
            f"kernel-tuner:{name}", partial(kernel_tuner.play, strategy=name), "kernel_tuner"
        )
        for name in kernel_tuner.STRATEGIES
    },
    **{
        f"pyatf:{name}": Contestant(f"pyatf:{name}", partial(pyatf.play, technique=name), "pyatf")
        for name in pyatf.TECHNIQUES
    },
    "optuna:tpe": Contestant("optuna:tpe", optuna.play, "optuna"),
}

GROUPS = {
    "peers": (
        "kernel-tuner:annealing",
        "kernel-tuner:genetic",
        "kernel-tuner:differential-evolution",
        "kernel-tuner:firefly",
        "kernel-tuner:hybrid-vndx",
        "kernel-tuner:tabu-grey-wolf",
        "pyatf:auc-bandit",
        "pyatf:differential-evolution",
        "optuna:tpe",
    ),
    "all-peers": tuple(PEERS),
    "own": strategy_names(),
}
"""Names that stand for several."""

DEFAULT = ("auto", "random", "cga", "local-search", "gaussian-process", "peers")


def contestants(names: Sequence[str]) -> tuple[Contestant, ...]:
    """Those named, in this order, each once. Raises `UsageError` with the nearest name for an unknown one."""
    single = [each for name in names for each in GROUPS.get(name, (name,))]
    return tuple(contestant(name) for name in dict.fromkeys(single))


def contestant(name: str) -> Contestant:
    """`kernel-tuner:NAME`, `pyatf:NAME`, `optuna:tpe`, or a strategy of flextune as `NAME` or `NAME+COST_MODEL`."""
    if name in PEERS:
        return PEERS[name]
    strategy, _, model = name.partition("+")
    if strategy not in strategy_names():
        known = (*strategy_names(), *PEERS, *GROUPS)
        raise UsageError(f"unknown strategy {strategy!r}: {nearest(strategy, known)}")
    if model and model not in cost_model_names():
        raise UsageError(f"unknown cost model {model!r}: {nearest(model, cost_model_names())}")
    return Contestant(name, partial(own.play, strategy=strategy, cost_model=model or "none"))
