"""A pretrained model as a JSON file: numbers and names only, checked when it is read, nothing in it is executed.

{"format": "flextune cost model", "version": 1, "target": ..., "operators": {"gemm": 960}, "features": [...],
 "trees": XGBoost's own JSON model, ..., "sha256": of all the rest}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flextune.cost.boosting import Trees, trees_from_json, trees_json
from flextune.cost.pretrained import LOSSES, PretrainedModel, Training
from flextune.errors import FlextuneError, UsageError

FORMAT = "flextune cost model"
VERSION = 1
_FIELDS = ("target", "loss", "tasks", "operators", "features", "calibration", "trees", "chance", "sha256")


def save_model(model: PretrainedModel, path: Path) -> None:
    """Write the model, replacing a file of this name; it appears only when it is complete."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "target": model.training.target,
        "loss": model.training.loss,
        "tasks": model.training.tasks,
        "operators": dict(model.training.operators),
        "features": list(model.features),
        "calibration": list(model.calibration) if model.calibration is not None else None,
        "trees": trees_json(model.trees),
        "chance": trees_json(model.chance) if model.chance is not None else None,
    }
    values["sha256"] = _digest(values)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps(values) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FlextuneError(f"the model cannot be written to {path}: {error.strerror}") from error


def load_model(path: Path) -> PretrainedModel:
    """Read a model. `UsageError` for a file that is damaged, of another kind or of another version."""
    values = _read(path)
    if values.get("format") != FORMAT:
        raise UsageError(f"{path}: expected a model that `flextune pretrain` wrote, but its 'format' is not {FORMAT!r}")
    if values.get("version") != VERSION:
        raise UsageError(
            f"{path}: expected a model of 'version' {VERSION}, got {values.get('version')!r}; "
            "make it again with this flextune's `flextune pretrain`"
        )
    missing = [name for name in _FIELDS if name not in values]
    if missing or values.pop("sha256") != _digest(values):
        what = f"it lacks {', '.join(missing)}" if missing else "its check sum is wrong"
        raise UsageError(f"{path}: the model is damaged: {what}; make it again with `flextune pretrain`")
    try:
        return _model(values)
    except (TypeError, ValueError, LookupError) as error:
        raise UsageError(f"{path}: the model is damaged: {error}; make it again with `flextune pretrain`") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"pretrained model {path}: {error.strerror}; `flextune pretrain` makes one") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: expected a model that `flextune pretrain` wrote, but it is no JSON text") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected a model that `flextune pretrain` wrote, but it is no JSON object")
    return values


def _model(values: Mapping[str, Any]) -> PretrainedModel:
    features = tuple(_texts(values["features"]))
    operators = tuple(sorted((str(name), int(count)) for name, count in dict(values["operators"]).items()))
    if values["loss"] not in LOSSES:
        raise ValueError(f"loss {values['loss']!r}")
    calibration = values["calibration"]
    return PretrainedModel(
        Training(str(values["target"]), values["loss"], int(values["tasks"]), operators),
        features,
        _trees(values["trees"], features),
        (float(calibration[0]), float(calibration[1])) if calibration is not None else None,
        _trees(values["chance"], features) if values["chance"] is not None else None,
    )


def _trees(values: object, features: tuple[str, ...]) -> Trees:
    trees = trees_from_json(values)
    if trees.features != len(features):
        raise ValueError(f"trees of {trees.features} features, but {len(features)} names")
    return trees


def _texts(values: object) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("'features' is no list of names")
    return values


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
