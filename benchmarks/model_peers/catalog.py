"""The peers of models by name: where their code is, and what has to be installed."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.catalog import Peer, check_peer

OURS = "flextune"
OWN_DEFAULT = "flextune-default"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(OURS, "benchmarks.model_peers.own", on_tvm=True),
        Peer(OWN_DEFAULT, "benchmarks.model_peers.own", "prepare_default", on_tvm=True),
        Peer("onnxruntime", "benchmarks.model_peers.onnx_runtime", packages=("onnxruntime",)),
        Peer("openvino", "benchmarks.model_peers.open_vino", packages=("openvino",)),
        Peer("openvino-default", "benchmarks.model_peers.open_vino", "prepare_default", packages=("openvino",)),
        Peer("pytorch", "benchmarks.model_peers.pytorch", packages=("torch", "transformers")),
        Peer(
            "pytorch-compile", "benchmarks.model_peers.pytorch", "prepare_compiled", packages=("torch", "transformers")
        ),
    )
}


def choose_peers(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers named, all where none is; flextune always. Raises `UsageError` for an unknown name."""
    for name in names:
        check_peer(name, PEERS)
    return tuple(peer for peer in PEERS.values() if not names or peer.name in names or peer.name == OURS)
