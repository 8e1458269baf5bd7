"""What decides the value of a Python function, as a short text: equal texts, equal functions.

All that a function reaches is looked at: its code, defaults and closure, the globals and helpers that it names, the
object that it is a method of, with its class, and what these hold in turn. Libraries count by their versions. What
cannot be looked into, such as a file that is open or a generator, makes the whole unknown.
"""

from __future__ import annotations

import builtins
import dis
import functools
import hashlib
import importlib.machinery
import os
import site
import sys
import sysconfig
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flextune.measure.source_files import digest_of, source_files

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented))
_NO_VALUE = (type(threading.Lock()), type(threading.RLock()))
_UNNUMBERED = (
    tuple,
    frozenset,
    types.CodeType,
)  # equal ones may be one object or several: that is the compiler's choice
_UNSEEN = frozenset({"eval", "exec", "globals", "__import__"})
_CLASS_NOISE = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__slots__", "_abc_impl"})
_LIBRARIES = tuple(
    Path(path).resolve()
    for path in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)
_OWN_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A digest, or why there is none."""

    digest: str
    unknown: str = ""


def fingerprint_of(value: object) -> Fingerprint:
    """Of a function or of any object that is called.

    >>> fingerprint_of(lambda x: x + 1) == fingerprint_of(lambda x: x + 1)
    True
    >>> fingerprint_of(lambda x: x + 1) == fingerprint_of(lambda x: x + 2)
    False
    """
    walk = _Walk()
    try:
        walk.take(value)
    except RecursionError:
        walk.unknown.append("data that is nested too deeply")
    if walk.unknown:
        return Fingerprint("", walk.unknown[0])
    files = source_files(sorted(walk.texts), Path.cwd(), any_kind=False)
    walk.say(*(part for pair in files.items() for part in pair))
    return Fingerprint(walk.digest())


class _Walk:
    """One look at all that an object reaches; what was seen once is afterwards named by its number."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(f"{sys.version_info[:2]}".encode())
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []
        self._attributes: set[tuple[str, str]] = set()
        self.unknown: list[str] = []
        self.texts: set[str] = set()

    def say(self, *words: object) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode(errors="surrogatepass")
            self._hash.update(b"%d:" % len(data))
            self._hash.update(data)

    def digest(self) -> str:
        return self._hash.hexdigest()[:16]

    def take(self, value: object) -> None:
        if type(value) in _PLAIN:
            self._take_plain(value)
            return
        if id(value) in self._seen:
            self.say("seen", self._seen[id(value)])
            return
        if type(value) not in _UNNUMBERED:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)  # a number belongs to an object for as long as that lives
        self.say(type(value).__qualname__)
        for kind, take in _TAKES:
            if isinstance(value, kind):
                take(self, value)
                return
        self._take_object(value)

    def take_all(self, values: Iterable[object]) -> None:
        for value in values:
            self.take(value)
        self.say("end")

    def _take_plain(self, value: object) -> None:
        self.say(type(value).__name__, value if isinstance(value, bytes) else repr(value))
        if isinstance(value, str) and 0 < len(value) < 4096:
            self.texts.add(value)

    def _take_dict(self, value: Mapping[object, object]) -> None:
        self.take_all(part for pair in value.items() for part in pair)
        self._take_more(value, dict, types.MappingProxyType)

    def _take_sequence(self, value: Iterable[object]) -> None:
        self.take_all(value)
        self._take_more(value, tuple, list, deque)

    def _take_set(self, value: Iterable[object]) -> None:
        """In an order that does not depend on the process."""
        self.take_all(sorted(value, key=lambda each: (type(each).__qualname__, repr(each))))
        self._take_more(value, set, frozenset)

    def _take_more(self, value: object, *plain: type) -> None:
        """What an object of a subclass has beside its items."""
        if type(value) not in plain:
            self.take(type(value))
            self.take(getattr(value, "__dict__", None))

    def _take_code(self, code: types.CodeType) -> None:
        self.say(code.co_code, code.co_exceptiontable, code.co_flags, code.co_argcount, code.co_kwonlyargcount)
        self.say(*code.co_names, "", *code.co_varnames, "", *code.co_freevars, *code.co_cellvars)
        self.take_all(code.co_consts)

    def _take_function(self, function: types.FunctionType) -> None:
        self.take_all((function.__code__, function.__defaults__, function.__kwdefaults__))
        self.take_all(cell.cell_contents for cell in function.__closure__ or () if not _is_empty(cell))
        self.take(function.__dict__)
        if _library_of(function.__module__):
            self._take_library(function.__module__)
            return
        for name in sorted(_names(function.__code__)):
            self._take_name(name, function)

    def _take_name(self, name: str, function: types.FunctionType) -> None:
        """What a name in a function's code stands for, if it is a global; else it is an attribute or nothing yet."""
        if name in function.__globals__:
            self.say("global", name)
            self._take_used(function.__globals__[name], function)
        elif name in _UNSEEN and hasattr(builtins, name):
            self.unknown.append(f"a call of {name}")
        elif name in _imported(function.__code__):
            module = sys.modules.get(name)
            self.say("import", name)
            if module is not None:
                self._take_used(module, function)
            elif (path := _file_of(name)) is not None:
                self.say(digest_of(path))

    def _take_used(self, value: object, function: types.FunctionType) -> None:
        """A global; of a module of the user's own what the function may use of it."""
        if not isinstance(value, types.ModuleType) or _library_of(value.__name__):
            self.take(value)
            return
        path = getattr(value, "__file__", None)
        self.say("module", value.__name__, digest_of(Path(path)) if path else "")
        for name in sorted(_names(function.__code__)):
            if name in vars(value) and (value.__name__, name) not in self._attributes:
                self._attributes.add((value.__name__, name))
                self.say(name)
                self._take_used(vars(value)[name], function)

    def _take_module(self, module: types.ModuleType) -> None:
        """A module that is data: every part of it may be used, of a library by its version."""
        if _library_of(module.__name__):
            self._take_library(module.__name__)
        else:
            self.say(module.__name__)
            self.take_all(value for name, value in sorted(vars(module).items()) if not name.startswith("__"))

    def _take_library(self, name: str) -> None:
        top = sys.modules.get(name.partition(".")[0])
        self.say("library", name, getattr(top, "__version__", ""), sys.version)

    def _take_builtin(self, function: types.BuiltinFunctionType) -> None:
        owner = function.__self__
        self.say(function.__qualname__)
        if owner is None or isinstance(owner, types.ModuleType):
            self._take_library(getattr(owner, "__name__", function.__module__ or "builtins"))
        else:
            self.take(owner)

    def _take_method(self, method: types.MethodType) -> None:
        self.take_all((method.__func__, method.__self__))

    def _take_wrapped(self, value: Any) -> None:
        self.take(value.__func__)

    def _take_property(self, value: property) -> None:
        self.take_all((value.fget, value.fset, value.fdel))

    def _take_partial(self, value: functools.partial[Any]) -> None:
        self.take_all((value.func, value.args, value.keywords, value.__dict__))

    def _take_class(self, value: type) -> None:
        self.say(value.__module__, value.__qualname__)
        if _library_of(value.__module__):
            self._take_library(value.__module__)
            return
        for name, part in sorted(vars(value).items()):
            if name not in _CLASS_NOISE and not isinstance(
                part, types.GetSetDescriptorType | types.MemberDescriptorType
            ):
                self.say(name)
                self.take(part)
        self.take_all((*value.__bases__, type(value)))

    def _take_ignored(self, value: object) -> None:
        """Locks: they are there for order, and hold nothing."""

    def _take_object(self, value: object) -> None:
        """By what would build it again, which is what `copy` and `pickle` ask an object for; nothing is pickled."""
        if any(value is stream for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
            return
        if isinstance(value, os.PathLike):
            self.texts.add(os.fspath(value))
        if _is_native_library(value):
            self.say(digest_of(Path(str(getattr(value, "_name", "")))), getattr(value, "_name", ""))
            return
        try:
            recipe = value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - objects of any library refuse in any way they like
            self.unknown.append(f"{type(value).__module__}.{type(value).__qualname__} ({error})"[:200])
            return
        self.take(type(value))
        if isinstance(recipe, str):
            self.say(recipe)
            self.take_all((getattr(value, "__wrapped__", None), getattr(value, "__dict__", None)))
            return
        make, arguments, *rest = recipe
        state, items, pairs, *_ = (*rest, None, None, None)
        self.take_all((make, arguments, state, tuple(items or ()), tuple(pairs or ())))


_TAKES: tuple[tuple[Any, Callable[[_Walk, Any], None]], ...] = (
    (types.FunctionType, _Walk._take_function),
    (types.CodeType, _Walk._take_code),
    (types.MethodType, _Walk._take_method),
    (types.BuiltinFunctionType, _Walk._take_builtin),
    (types.ModuleType, _Walk._take_module),
    (functools.partial, _Walk._take_partial),
    (staticmethod | classmethod, _Walk._take_wrapped),
    (property, _Walk._take_property),
    (type, _Walk._take_class),
    (dict | types.MappingProxyType, _Walk._take_dict),
    (list | tuple | deque, _Walk._take_sequence),
    (set | frozenset, _Walk._take_set),
    (_NO_VALUE, _Walk._take_ignored),
)


def _names(code: types.CodeType) -> set[str]:
    """All names in a function's code and in the functions inside it."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _imported(code: types.CodeType) -> set[str]:
    """Modules that a function imports when it runs."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    own = {str(each.argval) for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME"}
    return own.union(*map(_imported, inner))


@functools.lru_cache(maxsize=4096)
def _library_of(name: str | None) -> bool:
    """Whether a module is no work of the user's: it is built in, or installed."""
    if name is None:
        return False
    if name.partition(".")[0] == _OWN_PACKAGE:
        return True
    path = getattr(sys.modules.get(name), "__file__", None)
    if path is None:
        return name in sys.builtin_module_names
    resolved = Path(path).resolve()
    return any(resolved.is_relative_to(folder) for folder in _LIBRARIES)


def _file_of(module: str) -> Path | None:
    """The file of a module of the user's own that is not loaded yet."""
    try:
        found = importlib.machinery.PathFinder.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    path = Path(found.origin).resolve() if found is not None and found.origin else None
    return None if path is None or any(path.is_relative_to(folder) for folder in _LIBRARIES) else path


def _is_native_library(value: object) -> bool:
    ctypes = sys.modules.get("ctypes")
    return ctypes is not None and isinstance(value, ctypes.CDLL)


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - reading it is the question
    except ValueError:
        return True
    return False
