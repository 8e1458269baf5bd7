"""Shared by all tests: `@pytest.mark.hardware("avx512")` skips where this host is not x86 or lacks the feature."""

from __future__ import annotations

import pytest

from flextune.errors import EnvironmentFault


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
