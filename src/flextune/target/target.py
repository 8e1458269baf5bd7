"""`Target`: what hardware a program is made for, as a frozen value with a text form."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.target import kinds
from flextune.target.kind import Attribute, TargetKind, Value

FEATURES = "features"
"""The attribute that holds names of features."""

_Printed = Callable[[Attribute, Value], bool]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """One device as schedules see it: a kind, and the values of that kind's attributes.

    What attributes there are, and what features, says the kind (`flextune.target.kind.TargetKind`). Values that are not
    given take their defaults; features are completed by those they imply; both are kept in the kind's order.

    >>> str(Target.parse("null:cpu=any,cores=2"))
    'null:cpu=any,cores=2,l1=32768,l2=524288,l3=8388608'
    """

    kind: str
    attributes: tuple[tuple[str, Value], ...]

    def __post_init__(self) -> None:
        kind = _kind_of(self.kind, f"{self.kind}:{self.attributes}")
        given = dict(self.attributes)
        values = tuple(_values(kind, given, f"{self.kind}:{next(iter(given.values()), '')}"))
        object.__setattr__(self, "attributes", values)

    @classmethod
    def of(cls, kind: str, **values: Value) -> Target:
        """The target with these values of attributes: `Target.of("null", cpu="any", cores=2)`."""
        return cls(kind, tuple(values.items()))

    @classmethod
    def parse(cls, text: str) -> Target:
        """Inverse of `str`; also takes a known device's name, with changes: `KIND:DEVICE,cores=2`.

        A kind alone is what its defaults say. Raises `UsageError` with the nearest known name for anything unknown.
        """
        name, colon, body = text.strip().partition(":")
        if not colon and _is_complete(name):
            return cls(name, ())
        if not colon or not body:
            raise UsageError(f"expected kind:cpu=NAME,cores=N,... or kind:device, got {text!r}; {_example()}")
        kind = _kind_of(name, text)
        pairs = _key_values(kind, body, text)
        missing = [each.key for each in kind.attributes if each.default is None and each.key not in pairs]
        if missing:
            raise UsageError(f"target {text!r} lacks {' and '.join(missing)}; {_example()}")
        values = ((each.key, _read(each, pairs[each.key], text)) for each in kind.attributes if each.key in pairs)
        return cls(name, tuple(values))

    def __str__(self) -> str:
        return self._text(lambda attribute, value: attribute.in_key or value != attribute.default)

    @property
    def key(self) -> str:
        """The text form without what makes no difference (memory): equal keys take the same records."""
        return self._text(lambda attribute, _: attribute.in_key)

    def number(self, key: str) -> int:
        """The value of a numeric attribute. Raises `UsageError` where targets of this kind have none of this name."""
        value = self._value(key)
        if not isinstance(value, int):
            raise UsageError(f"{key} of {self} is no number")
        return value

    def word(self, key: str) -> str:
        """The value of an attribute that is a name; as `number`."""
        value = self._value(key)
        if not isinstance(value, str):
            raise UsageError(f"{key} of {self} is no name")
        return value

    @property
    def cores(self) -> int:
        """How many programs it runs at once: physical cores; 1 where its kind has no such attribute."""
        value = dict(self.attributes).get("cores", 1)
        return value if isinstance(value, int) else 1

    @property
    def features(self) -> tuple[str, ...]:
        value = dict(self.attributes).get(FEATURES, ())
        return value if isinstance(value, tuple) else ()

    def has(self, feature: str) -> bool:
        """Whether the device has this feature. Raises `UsageError` for a name that no device of its kind has."""
        _check_feature(kinds.get(self.kind), feature, str(self))
        return feature in self.features

    @property
    def vector_bits(self) -> int:
        """Bits that one instruction works on at once."""
        return kinds.get(self.kind).vector_bits(self)

    def vector_lanes(self, dtype_bits: int) -> int:
        """Elements of `dtype_bits` that one instruction works on at once."""
        return self.vector_bits // dtype_bits

    def _value(self, key: str) -> Value:
        values = dict(self.attributes)
        _check_known(key, values, f"attribute of {self.kind}", str(self))
        return values[key]

    def _text(self, printed: _Printed) -> str:
        attributes = {attribute.key: attribute for attribute in kinds.get(self.kind).attributes}
        shown = [
            f"{key}={_written(value)}"
            for key, value in self.attributes
            if value != () and printed(attributes[key], value)
        ]
        return f"{self.kind}:{','.join(shown)}"


def known_devices() -> tuple[str, ...]:
    """Names that `Target.parse` takes for whole devices, as `kind:name`."""
    return tuple(f"{kind.name}:{name}" for kind in kinds.known() for name in kind.devices)


def example_device() -> str:
    """A device that messages can name."""
    return next(f"{kind.name}:{kind.example}" for kind in kinds.known() if kind.example)


def _is_complete(name: str) -> bool:
    """Whether the defaults of a kind say all."""
    kind = kinds.find(name)
    return kind is not None and all(attribute.default is not None for attribute in kind.attributes)


def _kind_of(name: str, where: str) -> TargetKind:
    kind = kinds.find(name)
    if kind is None:
        _check_known(name, kinds.names(), "target kind", where)
    return kinds.get(name)


def _values(kind: TargetKind, given: dict[str, Value], where: str) -> Iterator[tuple[str, Value]]:
    """The values of all attributes, checked, in the kind's order."""
    for key in given:
        _check_known(key, [attribute.key for attribute in kind.attributes], "key", where)
    for attribute in kind.attributes:
        value = given.get(attribute.key, attribute.default)
        if value is None:
            raise UsageError(f"target {where!r} lacks {attribute.key}")
        if attribute.key == FEATURES:
            value = _completed(kind, tuple(value) if not isinstance(value, int) else (), where)
        _check_value(attribute, value, kind.most, where)
        yield attribute.key, value


def _check_value(attribute: Attribute, value: Value, most: int, where: str) -> None:
    wanted = f"expected {attribute.meaning} for {attribute.key}, got {value!r} in target {where}"
    if isinstance(value, str) and (attribute.numeric or not _NAME.fullmatch(value)):
        raise UsageError(wanted)
    if isinstance(value, str) and attribute.choices:
        _check_known(value, attribute.choices, attribute.key, where)
    if isinstance(value, int) and (not attribute.numeric or value < attribute.least):
        raise UsageError(wanted)
    if isinstance(value, int) and attribute.power_of_2 and value.bit_count() != 1:
        raise UsageError(wanted)
    if isinstance(value, int) and value > most:
        raise UsageError(f"expected at most {most} for {attribute.key}, got {value} in target {where}")


def _completed(kind: TargetKind, given: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The features that were given and those they imply, in the kind's order."""
    for name in given:
        _check_feature(kind, name, where)
    implied = {name for feature in kind.features if feature.name in given for name in feature.implies}
    return tuple(feature.name for feature in kind.features if feature.name in implied.union(given))


def _check_feature(kind: TargetKind, name: str, where: str) -> None:
    _check_known(name, [feature.name for feature in kind.features], f"feature of {kind.name}", where)


def _key_values(kind: TargetKind, body: str, text: str) -> dict[str, str]:
    """What the body of a target's text says; a device's own values first, then those given."""
    first, *rest = (part.strip() for part in body.split(","))
    if "=" in first:
        return _parse_pairs(kind, [first, *rest], text)
    _check_known(first, kind.devices, f"{kind.name} device", text)
    return _parse_pairs(kind, kind.devices[first].split(","), text) | _parse_pairs(kind, rest, text)


def _parse_pairs(kind: TargetKind, parts: Iterable[str], text: str) -> dict[str, str]:
    keys = [attribute.key for attribute in kind.attributes]
    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f"expected key=value, got {part!r} in target {text!r}; keys: {', '.join(keys)}")
        _check_known(key, keys, "key", text)
        if key in pairs:
            raise UsageError(f"{key} is given twice in target {text!r}")
        pairs[key] = value
    return pairs


def _check_known(name: str, known: Iterable[str], what: str, where: str) -> None:
    names = list(known)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    raise UsageError(f"unknown {what} {name!r} in {where!r}; {hint}")


def _read(attribute: Attribute, value: str, text: str) -> Value:
    if attribute.key == FEATURES:
        return tuple(filter(None, value.split("+")))
    if not attribute.numeric:
        return value
    if not value.isascii() or not value.isdigit():
        raise UsageError(f"expected a whole number for {attribute.key}, got {value!r} in target {text!r}")
    return int(value)


def _written(value: Value) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _example() -> str:
    device = example_device()
    return f"for example {Target.parse(device)} or {device}"
