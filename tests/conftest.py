"""Shared by all tests.

`@pytest.mark.hardware("avx512")` skips where this host is not x86 or lacks the feature. Property tests draw the same
examples each time and have no deadline: a busy machine must not fail them.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from flextune.errors import EnvironmentFault

settings.register_profile("flextune", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flextune")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("hardware"):
        missing = [feature for feature in marker.args if feature not in _host_features()]
        if missing:
            pytest.skip(f"this host lacks {' and '.join(missing)}")


def _host_features() -> tuple[str, ...]:
    from flextune.target.detect import detect

    try:
        return ("x86", *detect().features)
    except EnvironmentFault:
        return ()
