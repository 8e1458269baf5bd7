"""Which code symbols can stand for numbers in, as its bytecode says before it is called."""

from __future__ import annotations

import dis
from types import CodeType


class UntraceableError(BaseException):
    """Not an Exception: no traced function may catch it."""


def used_names(code: CodeType) -> set[str]:
    """Of globals and attributes, in the function and in those defined in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(used_names, inner))


def check_code(code: CodeType) -> None:
    """No identity, no exception caught, nothing stored outside, no attribute that tells a symbol from a number."""
    if code.co_exceptiontable and code.co_name != "<genexpr>":
        raise UntraceableError
    if any(name.startswith("__") for name in code.co_names):
        raise UntraceableError
    refused = ("IS_OP", "STORE_GLOBAL", "STORE_ATTR", "DELETE_GLOBAL", "IMPORT", "MATCH", "SET_ADD", "YIELD_FROM")
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith(refused):
            raise UntraceableError
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            check_code(constant)
