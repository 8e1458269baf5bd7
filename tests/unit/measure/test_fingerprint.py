"""What decides a function's value is in its fingerprint; what does not, is not."""

import functools
import importlib
import random
import subprocess
import sys
import textwrap
import threading
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

from flextune.measure.fingerprint import fingerprint_of

FACTOR = 1
TABLE = {"a": [1, 2]}
Pair = namedtuple("Pair", "a b")


def helper(x):
    return x * FACTOR


def uses_global(x):
    return helper(x) + TABLE["a"][0]


class Called:
    def __init__(self, state):
        self.state = state

    def __call__(self, x):
        return self.method(x)

    def method(self, x):
        return x * len(str(self.state))


class Slotted:
    __slots__ = ("state",)

    def __init__(self, state):
        self.state = state

    def __call__(self, x):
        return self.state


@dataclass
class Data:
    state: object

    def __call__(self, x):
        return self.state


def closure(state):
    def objective(x):
        return (x, state)

    return objective


def default(state):
    def objective(x, given=state, *, named=state):
        return (x, given, named)

    return objective


def decorated(state):
    def decorator(function):
        @functools.wraps(function)
        def wrapper(*args):
            return state, function(*args)

        return wrapper

    @decorator
    def objective(x):
        return x

    return objective


MAKERS = {
    "callable object": Called,
    "bound method": lambda state: Called(state).method,
    "object with slots": Slotted,
    "dataclass": Data,
    "closure": closure,
    "default": default,
    "partial": lambda state: functools.partial(helper, state),
    "partial by name": lambda state: functools.partial(helper, x=state),
    "nested partial": lambda state: functools.partial(functools.partial(Called(state)), 1),
    "decorator": decorated,
    "cached": lambda state: functools.lru_cache(closure(state)),
    "attribute of a function": lambda state: functools.update_wrapper(lambda x: x, closure(state)),
}
STATES = [
    (1, 2),
    ([1, 2], [1, 3]),
    ((1, [2]), (1, [3])),
    ({"a": {1, 2}}, {"a": {1, 3}}),
    (np.arange(5), np.arange(5) + 1),
    (np.arange(6.0), np.arange(6.0).reshape(2, 3)),
    (Pair(1, 2), Pair(1, 3)),
    (Data(Called([1])), Data(Called([2]))),
    (random.Random(1), random.Random(2)),
    (1, True),
    ("1", 1),
    (lambda x: x + 1, lambda x: x + 2),
    (functools.partial(max, 1), functools.partial(min, 1)),
    (Called, Slotted),
]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_state_decides(make):
    for one, other in STATES:
        first = fingerprint_of(make(one))
        assert first.digest
        assert first == fingerprint_of(make(one))
        assert first != fingerprint_of(make(other)), (one, other)


def test_globals_and_helpers_decide(monkeypatch):
    before = fingerprint_of(uses_global)
    for name, value in (("FACTOR", 2), ("TABLE", {"a": [1, 3]}), ("helper", lambda x: x)):
        with monkeypatch.context() as patch:
            patch.setitem(globals(), name, value)
            assert fingerprint_of(uses_global) != before, name
    assert fingerprint_of(uses_global) == before


def test_modules_of_the_user_decide(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    deeper, middle = tmp_path / "deeper_module_of_test.py", tmp_path / "middle_module_of_test.py"
    middle.write_text("import deeper_module_of_test as d\ndef middle(x): return d.deep(x)\n")
    found = []
    for body in ("x", "x + 1"):
        deeper.write_text(f"def deep(x): return {body}\n")
        for name in ("deeper_module_of_test", "middle_module_of_test"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module = importlib.import_module("middle_module_of_test")
        functions = (lambda x, m=module: m.middle(x), module.middle)
        found.append([fingerprint_of(each).digest for each in functions])
    assert all(found[0])
    assert not set(found[0]) & set(found[1])


@pytest.mark.parametrize(
    "held",
    [open, threading.local(), (each for each in ()), sys._getframe()],
    ids=["open", "local", "generator", "frame"],
)
def test_what_cannot_be_looked_into_is_unknown(held, tmp_path):
    value = held(tmp_path / "file", "w") if held is open else held
    found = fingerprint_of(closure(value))
    assert not found.digest
    assert type(value).__qualname__ in found.unknown
    assert "eval" in fingerprint_of(lambda x: eval(x)).unknown  # noqa: S307


def test_locks_and_streams_hold_nothing():
    assert fingerprint_of(closure([threading.Lock(), sys.stderr])).digest


def test_a_cycle_ends():
    ring: list[object] = [1]
    ring.append(ring)
    other: list[object] = [2]
    other.append(other)
    assert fingerprint_of(closure(ring)).digest not in ("", fingerprint_of(closure(other)).digest)


def test_files_that_a_function_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "bench.sh"
    script.write_text("echo 1")
    before = fingerprint_of(lambda x: subprocess.run(["sh", "bench.sh", x], check=True))
    script.write_text("echo 2")
    assert before != fingerprint_of(lambda x: subprocess.run(["sh", "bench.sh", x], check=True))


def test_equal_in_another_process(tmp_path):
    """Whatever the hash seed is, and whether the module comes from its source or its compiled form."""
    (tmp_path / "module_of_test.py").write_text(
        textwrap.dedent("""
        NAMES = frozenset({"a", "b", "c"})
        class Base:
            limits = (1, (2, 3))
        class Objective(Base):
            def __init__(self): self.names = {"x": NAMES, "y": (1, (2, 3))}
            def __call__(self, x): return x in {"p", "q", "r"} or x in (1, (2, 3)) or [each for each in self.names]
        """)
    )
    program = (
        "import module_of_test; from flextune.measure.fingerprint import fingerprint_of;"
        "print(fingerprint_of(module_of_test.Objective()).digest)"
    )
    path = ":".join(filter(None, [str(tmp_path), *sys.path]))
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert found != {"\n"}
