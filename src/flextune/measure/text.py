"""What error texts say."""

from __future__ import annotations

_NO_MEMORY = ("out of memory", "bad_alloc", "memoryerror", "unable to allocate", "cannot allocate memory")


def lacks_memory(text: str) -> bool:
    """Whether an error text says that an allocation failed."""
    lowered = text.lower()
    return any(words in lowered for words in _NO_MEMORY)


def one_line(text: str, limit: int = 300) -> str:
    """The first line of an error that is not the frame of a traceback.

    >>> one_line("ValueError: no such loop\\n  File nowhere")
    'ValueError: no such loop'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if not line.startswith(("Traceback", "File ", "at "))), "unknown error")
    return said[:limit]
