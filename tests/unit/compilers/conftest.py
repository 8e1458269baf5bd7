"""What tests of compilers share."""

from __future__ import annotations

import pytest

from flextune.target.detect import detect
from flextune.target.target import Target


@pytest.fixture(scope="session")
def target() -> Target:
    return detect()
