"""One small model, partitioned and built once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from flextune.apply.build import Build, compile_model
from flextune.importing.model import Model, load_model
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.models import conv_block


@pytest.fixture(scope="session")
def target() -> Target:
    return detect()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path: Path = tmp_path_factory.mktemp("models") / "block.onnx"
    path.write_bytes(conv_block(16).SerializeToString())
    return load_model(path)


@pytest.fixture(scope="session")
def partition(model: Model) -> Partition:
    return partition_model(model)


@pytest.fixture(scope="session")
def build(partition: Partition, target: Target) -> Build:
    return compile_model(partition, {}, target)
