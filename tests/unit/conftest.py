"""The host as it runs tests of schedules and platforms."""

from __future__ import annotations

import pytest

from flextune.target.detect import detect
from flextune.target.target import Target


@pytest.fixture(scope="session")
def host() -> Target:
    return detect()
