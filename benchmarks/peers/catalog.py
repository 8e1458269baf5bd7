"""The peers by name: where their code is, and what has to be installed."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from benchmarks.peers.call import Prepare
from flextune.errors import UsageError


@dataclass(frozen=True, slots=True)
class Peer:
    """`module` has a function `function` that is a `Prepare`; `tuner` is the program that tunes for it first.

    `packages` are the importable names that must be there. `on_tvm` marks those that run in TVM, without PyTorch.
    """

    name: str
    module: str
    function: str = "prepare"
    packages: tuple[str, ...] = ()
    tuner: str = ""
    on_tvm: bool = False

    @property
    def absent_packages(self) -> tuple[str, ...]:
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    def load(self) -> Prepare:
        prepare: Prepare = getattr(import_module(self.module), self.function)
        return prepare


_METASCHEDULE_PACKAGES = ("xgboost", "psutil", "cloudpickle", "tornado", "scipy")

PEERS = {
    peer.name: peer
    for peer in (
        Peer("flextune", "benchmarks.peers.own", tuner="benchmarks.peers.tune_own", on_tvm=True),
        Peer("default", "benchmarks.peers.own", "prepare_default", on_tvm=True),
        Peer("pytorch", "benchmarks.peers.pytorch", packages=("torch",)),
        Peer("onnxruntime", "benchmarks.peers.onnx_runtime", packages=("onnxruntime", "onnx")),
        Peer("numpy", "benchmarks.peers.numpy_blas"),
        Peer(
            "metaschedule",
            "benchmarks.peers.metaschedule",
            packages=_METASCHEDULE_PACKAGES,
            tuner="benchmarks.peers.tune_metaschedule",
            on_tvm=True,
        ),
    )
}


def choose_peers(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers named, all where none is; flextune always, since all others are compared with it.

    Raises `UsageError` for an unknown name.
    """
    for name in names:
        check_peer(name, PEERS)
    return tuple(peer for peer in PEERS.values() if not names or peer.name in names or peer.name == "flextune")


def check_peer(name: str, peers: Mapping[str, Peer]) -> None:
    """Raises `UsageError` for a name that none of the peers has."""
    if name not in peers:
        near = difflib.get_close_matches(name, peers, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"unknown peer {name!r}; {hint}known: {', '.join(peers)}")


def missing_peers(peers: Sequence[Peer]) -> dict[str, str]:
    """The peers that cannot run here, with what to install."""
    return {
        peer.name: f"pip install 'flextune[bench]' (lacks {', '.join(peer.absent_packages)})"
        for peer in peers
        if peer.absent_packages
    }
