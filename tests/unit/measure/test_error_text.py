"""What error texts say."""

import pytest

from flextune.measure.ending import exit_text
from flextune.measure.text import lacks_memory, one_line


@pytest.mark.parametrize(
    "text",
    [
        "LLVM ERROR: out of memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB",
        "OSError: [Errno 12] Cannot allocate memory",
    ],
)
def test_texts_about_memory(text: str) -> None:
    assert lacks_memory(text)
    assert not lacks_memory("InternalError: loop not found")


def test_one_line_skips_frames() -> None:
    text = 'Traceback (most recent call last):\n  File "x.cc", line 3\nInternalError: Check failed: x == y\nmore'
    assert one_line(text) == "InternalError: Check failed: x == y"
    assert one_line("") == "unknown error"
    assert len(one_line("x" * 999)) == 300


def test_how_a_process_ended() -> None:
    assert exit_text(-9) == "worker killed by SIGKILL"
    assert exit_text(3) == "worker ended with exit code 3"
    assert exit_text(-99) == "worker killed by signal 99"
    assert exit_text(None) == "worker closed its pipe"
