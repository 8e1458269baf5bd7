"""How long the functions of a shared library are: a reader of ELF's table of symbols, for 64 bits, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE = 2
_FUNCTION = 2
_MAGIC = b"\x7fELF\x02\x01"


@dataclass(frozen=True, slots=True)
class _Section:
    """What an ELF section header says, of what is needed here."""

    kind: int
    """`sh_type`."""
    address: int
    """Where it is in memory."""
    offset: int
    """Where it is in the file."""
    size: int
    """In bytes."""
    link: int
    """The section that belongs to it: of a table of symbols, their names."""


def function_bytes(library: bytes, entries: Sequence[str]) -> dict[str, int | None]:
    """The bytes of code of each entry, with what it calls that has no symbol; None where the library does not say.

    The bodies of parallel loops have no symbols of their own and lie behind the function that starts them, so a
    function reaches to the next one.
    """
    if not library.startswith(_MAGIC):
        return dict.fromkeys(entries)
    sections = _sections(library)
    functions = sorted(_functions(library, sections))
    lengths: dict[str, int | None] = dict.fromkeys(entries)
    for (address, name), following in zip(functions, [*(start for start, _ in functions[1:]), None], strict=True):
        end = following or max(each.address + each.size for each in sections if each.address <= address)
        for entry in entries:
            if name == f"__tvm_ffi_{entry}" or name.startswith(f"{entry}_compute_"):
                lengths[entry] = (lengths[entry] or 0) + end - address
    return lengths


def _sections(library: bytes) -> list[_Section]:
    header = _HEADER.unpack_from(library)
    start, size, count = header[6], header[11], header[12]
    found = [_SECTION.unpack_from(library, start + index * size) for index in range(count)]
    return [_Section(each[1], each[3], each[4], each[5], each[6]) for each in found]


def _functions(library: bytes, sections: Sequence[_Section]) -> Iterator[tuple[int, str]]:
    """Address and name of every function that is defined here."""
    for table in (section for section in sections if section.kind == _SYMBOL_TABLE):
        names = sections[table.link].offset
        symbols = library[table.offset : table.offset + table.size]
        for name, information, _, section, address, _ in _SYMBOL.iter_unpack(symbols):
            if information & 0xF == _FUNCTION and section:
                start = names + name
                yield address, library[start : library.index(b"\0", start)].decode(errors="replace")
