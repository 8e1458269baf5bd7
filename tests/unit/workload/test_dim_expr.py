"""Expressions over sizes: what they are worth is what Python says, whatever was simplified."""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.native.toolchain import compile_c, has_compiler, link
from flextune.workload.dim import Dim
from flextune.workload.dim_code import Operation, stack_depth
from flextune.workload.dim_expr import DimExpr, ceil_div, maximum, minimum

NAMES = ("h", "w", "n")
DIVISORS = st.integers(1, 9).map(str) | st.sampled_from(["h", "w", "h*w", "2*h", "3*n", "n*n", "(h + 1)", "(h + w)"])


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    both = st.tuples(inner, inner)
    return (
        st.tuples(both, st.sampled_from(["({}) + ({})", "({}) - ({})", "({})*({})", "min({}, {})", "max({}, {})"])).map(
            lambda found: found[1].format(*found[0])
        )
        | st.tuples(inner, DIVISORS).map(lambda found: f"({found[0]})//({found[1]})")
        | st.tuples(inner, DIVISORS).map(lambda found: f"({found[0]})%({found[1]})")
        | st.tuples(inner, DIVISORS).map(lambda found: f"ceil_div({found[0]}, {found[1]})")
    )


TEXTS = st.recursive(st.integers(-9, 40).map(str) | st.sampled_from(NAMES), combined, max_leaves=8)
SIZES = st.fixed_dictionaries({name: st.integers(1, 300) for name in NAMES})


def worth(text: str, sizes: dict[str, int]) -> int:
    """What Python computes."""
    functions = {"min": min, "max": max, "ceil_div": lambda a, b: -(-a // b)}
    return int(eval(text, {"__builtins__": {}}, {**functions, **sizes}))  # noqa: S307 (texts made above)


@settings(max_examples=400)
@given(TEXTS, SIZES)
def test_it_is_worth_what_python_computes(text: str, sizes: dict[str, int]) -> None:
    assert DimExpr.parse(text).bind(sizes) == worth(text, sizes)


@settings(max_examples=300)
@given(TEXTS)
def test_the_text_form_round_trips(text: str) -> None:
    expression = DimExpr.parse(text)
    assert DimExpr.parse(str(expression)) == expression
    assert hash(DimExpr.parse(str(expression))) == hash(expression)


@settings(max_examples=200)
@given(TEXTS, SIZES)
def test_the_text_form_is_python(text: str, sizes: dict[str, int]) -> None:
    assert worth(str(DimExpr.parse(text)), sizes) == worth(text, sizes)


@settings(max_examples=200)
@given(TEXTS, st.integers(1, 9), st.integers(1, 9))
def test_names_can_be_replaced(text: str, n: int, size: int) -> None:
    replaced = DimExpr.parse(text).substitute({"n": n, "w": DimExpr.parse("h + 2")})
    assert replaced.names <= {"h"}
    assert replaced.bind({"h": size}) == worth(text, {"n": n, "h": size, "w": size + 2})


RANGES = st.tuples(st.integers(1, 5), st.integers(0, 6), st.integers(1, 4)).map(
    lambda found: (found[0], found[0] + found[1] + found[2], found[2])
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.tuples(RANGES, RANGES, RANGES))
def test_bounds_hold_and_what_ranges_decide_goes(text: str, ranges: tuple[tuple[int, int, int], ...]) -> None:
    dims = {name: Dim(name, *found) for name, found in zip(NAMES, ranges, strict=True)}
    expression = DimExpr.parse(text)
    lo, hi = expression.bounds(dims)
    simpler = expression.simplified(dims)
    for sizes in itertools.product(*(dims[name].sizes for name in NAMES)):
        value = worth(text, dict(zip(NAMES, sizes, strict=True)))
        assert lo <= value <= hi
        assert simpler.bind(dict(zip(NAMES, sizes, strict=True))) == value


@settings(max_examples=200)
@given(TEXTS, SIZES)
def test_instructions_compute_it(text: str, sizes: dict[str, int]) -> None:
    program = DimExpr.parse(text).instructions()
    stack: list[int] = []
    for each in program:
        match each.operation:
            case Operation.PUSH:
                stack.append(each.number)
            case Operation.LOAD:
                stack.append(sizes[each.name])
            case operation:
                b, a = stack.pop(), stack.pop()
                results = {
                    Operation.ADD: a + b, Operation.MULTIPLY: a * b, Operation.FLOOR_DIVIDE: a // b if b else None,
                    Operation.MINIMUM: min(a, b), Operation.MAXIMUM: max(a, b),
                }  # fmt: skip
                stack.append(results[operation])
        assert len(stack) <= stack_depth(program)
    assert stack == [worth(text, sizes)]


C_FUNCTIONS = """#include <stdint.h>
#define EXPORT __attribute__((visibility("default")))
static int64_t floor_divide(int64_t a, int64_t b) { int64_t q = a / b; return q - (a % b != 0 && (a < 0) != (b < 0)); }
static int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
"""
C_TEXTS = (
    "h*w//4 + 1", "(h - 20)//3", "-(w//7)*h - 3", "max(h - w, -n)//5", "min(h, w)//n % 5", "ceil_div(h - 40, 6)*8",
    "(h - w)//(h + w)", "0", "-12", "(2*h*h + 3)//(4*w)", "((h - 3)//2 - 1)//2",
)  # fmt: skip


@pytest.mark.skipif(not has_compiler(), reason="needs a C compiler")
def test_c_code_computes_it(tmp_path: Path) -> None:
    functions = "".join(
        f"EXPORT int64_t f{number}(int64_t h, int64_t w, int64_t n) {{ return {DimExpr.parse(text).c_code()}; }}\n"
        for number, text in enumerate(C_TEXTS)
    )
    library = ctypes.CDLL(str(link([compile_c(C_FUNCTIONS + functions, tmp_path / "sizes.o")], tmp_path / "sizes.so")))
    for number, text in enumerate(C_TEXTS):
        function = library[f"f{number}"]
        function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64] * 3
        for sizes in itertools.product((1, 7, 64), (1, 5, 48), (1, 2, 9)):
            assert function(*sizes) == worth(text, dict(zip(NAMES, sizes, strict=True))), text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("(4*h)//2", "2*h"),
        ("(h*w)//h", "w"),
        ("(h*w)//(h*w)", "1"),
        ("((h - 1)//2 + 1 - 1)//2 + 1", "(h + 3)//4"),
        ("((((h + 1)//2 + 1)//2 + 1)//2 + 1)//2", "(h + 15)//16"),
        ("-((-h)//4)", "(h + 3)//4"),
        ("4*(h//4) + h%4", "h"),
        ("(6*h + 5)//4", "h + (h + 2)//2"),
        ("(h*h - w*w)//(h - w)", "h + w"),
        ("(h*n)//(w*n)", "h//w"),
        ("(h//w)//4", "h//(4*w)"),
        ("min(h, h + 2, w)", "min(h, w)"),
        ("min(h + 1, min(w, n) + 1)", "min(h, n, w) + 1"),
        ("max(h, 0)", "h"),
        ("w*2 + h*h - w - w", "h*h"),
    ],
)
def test_equal_expressions_have_one_form(text: str, normal: str) -> None:
    assert DimExpr.parse(text) == DimExpr.parse(normal)


def test_simplified_by_ranges() -> None:
    dims = {"seq": Dim("seq", 8, 512, 8), "batch": Dim("batch", 2, 2)}
    texts = {
        "min(seq, 512)": "seq", "8*(seq//8)": "seq", "seq//1024": "0", "batch*seq": "2*seq", "seq%4": "0",
        "max(seq - 8, batch - 2)": "seq - 8", "min(seq, 511)": "min(seq, 511)", "(seq + 7)//8*8": "seq",
        "2*((seq + 7)//8) - (seq + 3)//4": "0", "(seq + batch + 5)//8 - seq//8": "0", "(3*seq)//2": "seq + 4*(seq//8)",
    }  # fmt: skip
    for text, wanted in texts.items():
        assert DimExpr.parse(text).simplified(dims) == DimExpr.parse(wanted), text


def test_bounds_are_exact_for_what_models_compute() -> None:
    dims = {"h": Dim("h", 32, 640), "w": Dim("w", 1, 100)}
    for text, wanted in {
        "((h - 1)//2 + 1)*w": (16, 32000), "32*((h + 31)//32) - h": (0, 31), "h%8": (0, 7), "h - 2*w": (-168, 638),
        "min(h, w)": (1, 100), "h//w": (0, 640), "h*w - h": (0, 63360),
    }.items():  # fmt: skip
        assert DimExpr.parse(text).bounds(dims) == wanted, text


def test_made_by_operators() -> None:
    h, w = DimExpr.of("h"), DimExpr.of(Dim("w", 1, 4))
    assert str(3 - h // w) == "-(h//w) + 3"
    assert ceil_div(h, 4) == (h + 3) // 4
    assert minimum(h, 3, w).bind({"h": 5, "w": 4}) == 3
    assert maximum(h, w + 1).names == {"h", "w"}
    assert (DimExpr.of(7).value, (h + 1).value, h.name, (h + 1).name) == (7, None, "h", None)
    assert 100 // h == DimExpr.parse("100//h")
    assert 100 % h == DimExpr.parse("100%h")


@pytest.mark.parametrize(
    "text", ["", "h +", "h/2", "h**2", "f(h)", "ceil_div(h)", "1.5", "h if w else n", "True", "h.w"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the size"):
        DimExpr.parse(text)


def test_what_cannot_be_computed_is_told() -> None:
    with pytest.raises(UsageError, match="needs n, w; given are h"):
        DimExpr.parse("h*w + n").bind({"h": 1})
    with pytest.raises(UsageError, match=r"h//w divides by 0 for w=0"):
        DimExpr.parse("h//w").bind({"h": 1, "w": 0})
    with pytest.raises(UsageError, match="divided by 0"):
        DimExpr.parse("h//(w - w)")
    with pytest.raises(UsageError, match="the range of w is not known"):
        DimExpr.parse("h*w").bounds({"h": Dim("h", 1, 2)})
    with pytest.raises(UsageError, match="is not the name of a dimension"):
        DimExpr.of("a b")
