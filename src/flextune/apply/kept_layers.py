"""Which layers of a bfloat16 model must stay float32 for its outputs to be close enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.apply.accuracy import Accuracy, compared
from flextune.apply.layerwise import LayerwiseModel


@dataclass(frozen=True, slots=True)
class KeptLayers:
    """The numbers of the layers to keep, the error with all in bfloat16, and the error that is left."""

    layers: tuple[int, ...]
    error_before: float
    error: float


def find_kept_layers(model: LayerwiseModel, samples: Sequence[Mapping[str, np.ndarray]], limit: float) -> KeptLayers:
    """A small set of layers that brings the largest relative error down to `limit`, greedily.

    Layers are ranked by what keeping each alone gains, then kept in that order until the error is small enough; those
    that turn out not to be needed are given back. If all of them are not enough, all are kept.
    """
    wanted = [model.run(sample, None) for sample in samples]

    def error(keep: Sequence[int]) -> float:
        return _accuracy(model, samples, wanted, keep).max_relative_error

    before = error(())
    if before <= limit:
        return KeptLayers((), before, before)
    alone = {layer: error((layer,)) for layer in model.layers}
    kept: list[int] = []
    left = before
    for layer in sorted(alone, key=alone.__getitem__):
        kept.append(layer)
        left = error(kept)
        if left <= limit:
            break
    for layer in list(kept[:-1]):
        fewer = [each for each in kept if each != layer]
        if (without := error(fewer)) <= limit:
            kept, left = fewer, without
    return KeptLayers(tuple(sorted(kept)), before, left)


def _accuracy(
    model: LayerwiseModel,
    samples: Sequence[Mapping[str, np.ndarray]],
    wanted: Sequence[Mapping[str, np.ndarray]],
    keep: Sequence[int],
) -> Accuracy:
    return compared([(model.run(sample, keep), want) for sample, want in zip(samples, wanted, strict=True)])
