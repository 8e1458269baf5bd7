"""Reads a workload from its text form."""

from __future__ import annotations

from flextune.errors import UsageError
from flextune.workload.named import named_workload
from flextune.workload.operator_parameters import Value
from flextune.workload.operator_registry import find_operator, operator_names
from flextune.workload.workload import TIR, Workload


def parse_workload(text: str, body: str | None = None) -> Workload:
    """The workload that `text` says, such as `gemm:m=64,n=64,k=64`, or the name of a shipped shape.

    `body` is the program of a `tir` workload, which the text alone does not hold. Raises `UsageError` for whatever
    cannot be used. `parse_workload(str(w), w.body) == w` for every workload.
    """
    text = text.strip()
    operator, colon, rest = text.partition(":")
    if not colon and "." in operator:
        return named_workload(text)
    if operator == TIR:
        return _parse_tir(_pairs(text, rest), body)
    if not colon and operator not in operator_names():
        find_operator(operator)
    return Workload(operator, _pairs(text, rest))


def _pairs(text: str, rest: str) -> tuple[tuple[str, Value], ...]:
    pairs: list[tuple[str, Value]] = []
    for part in rest.split(",") if rest.strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value) or "=" in value:
            raise UsageError(f"expected NAME=VALUE between commas, got {part.strip()!r} in workload {text!r}")
        pairs.append((name, _value(value)))
    return tuple(pairs)


def _value(text: str) -> Value:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else text


def _parse_tir(pairs: tuple[tuple[str, Value], ...], body: str | None) -> Workload:
    constants = str(dict(pairs).get("constants", "none"))
    words = [] if constants == "none" else constants.split("+")
    if not all(word.isascii() and word.isdigit() for word in words):
        raise UsageError(f"tir: constants expects positions joined by +, got {constants!r}")
    return Workload(TIR, pairs, body, tuple(int(word) for word in words))
