"""`Target`: what hardware a program is made for, as a frozen value with a text form."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.target.devices import DEVICES

FEATURES: Mapping[str, tuple[str, ...]] = {
    "x86": ("sse4", "avx2", "avx512", "vnni", "bf16", "avxvnni", "amx"),
    "null": (),
}
"""Feature names of every kind of target, in the order they print."""

_IMPLIED: Mapping[str, tuple[str, ...]] = {
    "avx2": ("sse4",),
    "avx512": ("sse4", "avx2"),
    "vnni": ("sse4", "avx2", "avx512"),
    "bf16": ("sse4", "avx2", "avx512"),
    "avxvnni": ("sse4", "avx2"),
    "amx": ("sse4", "avx2", "avx512"),
}

_LLVM_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "sse4": ("sse4.1", "sse4.2"),
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512vl", "avx512dq"),
    "vnni": ("avx512vnni",),
    "bf16": ("avx512bf16",),
    "avxvnni": ("avxvnni",),
    "amx": ("amx-tile", "amx-int8", "amx-bf16"),
}

_KEYS = ("cpu", "cores", "features", "l1", "l2", "l3", "memory")
_FIELD_OF_KEY = {"cores": "cores", "l1": "l1_bytes", "l2": "l2_bytes", "l3": "l3_bytes", "memory": "memory_bytes"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """One processor as schedules see it.

    `cpu` is LLVM's name. `cores` counts physical cores. `l1_bytes` (data) and `l2_bytes` are per core, `l3_bytes` is
    one instance of the last cache level. `memory_bytes` is 0 where it is not known; it is no part of `key`.
    Features are completed by those they imply (avx512 has avx2) and kept in one order:
    `vnni` is AVX512-VNNI, `avxvnni` its 256-bit VEX form, `bf16` is AVX512-BF16, `avx512` means F, BW, VL and DQ,
    `avx2` includes FMA, `sse4` is SSE4.2.

    >>> str(Target.parse("x86:znver3,cores=2"))
    'x86:cpu=znver3,cores=2,features=sse4+avx2,l1=32768,l2=524288,l3=33554432'
    """

    kind: str
    cpu: str
    cores: int
    features: tuple[str, ...] = ()
    l1_bytes: int = 32768
    l2_bytes: int = 524288
    l3_bytes: int = 8388608
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        where = f"{self.kind}:cpu={self.cpu}"
        _check_known(self.kind, FEATURES, "target kind", where)
        for feature in self.features:
            _check_known(feature, FEATURES[self.kind], f"feature of {self.kind}", where)
        if not _NAME.fullmatch(self.cpu):
            raise UsageError(f"expected an LLVM processor name for cpu, got {self.cpu!r} in target of kind {self.kind}")
        for key, name in _FIELD_OF_KEY.items():
            if getattr(self, name) < (0 if key == "memory" else 1):
                raise UsageError(
                    f"expected a positive number for {key}, got {getattr(self, name)} in target {self.cpu}"
                )
        present = {implied for feature in self.features for implied in (feature, *_IMPLIED.get(feature, ()))}
        object.__setattr__(self, "features", tuple(feature for feature in FEATURES[self.kind] if feature in present))

    @classmethod
    def parse(cls, text: str) -> Target:
        """Inverse of `str`; also takes a known device's name, with changes: `x86:avx2-generic,cores=2`.

        Raises `UsageError` with the nearest known name for anything unknown.
        """
        kind, colon, body = text.strip().partition(":")
        if not colon or not body:
            raise UsageError(f"expected kind:cpu=NAME,cores=N,... or kind:device, got {text!r}; {_examples()}")
        _check_known(kind, FEATURES, "target kind", text)
        pairs = _key_values(kind, body, text)
        missing = [key for key in ("cpu", "cores") if key not in pairs]
        if missing:
            raise UsageError(f"target {text!r} lacks {' and '.join(missing)}; {_examples()}")
        features = tuple(filter(None, pairs.get("features", "").split("+")))
        for feature in features:
            _check_known(feature, FEATURES[kind], f"feature of {kind}", text)
        sizes = {name: _integer(key, pairs[key], text) for key, name in _FIELD_OF_KEY.items() if key in pairs}
        return cls(kind=kind, cpu=pairs["cpu"], features=features, **sizes)

    def __str__(self) -> str:
        return f"{self.key},memory={self.memory_bytes}" if self.memory_bytes else self.key

    @property
    def key(self) -> str:
        """The text form without memory: equal keys take the same records."""
        features = f"features={'+'.join(self.features)}," if self.features else ""
        caches = f"l1={self.l1_bytes},l2={self.l2_bytes},l3={self.l3_bytes}"
        return f"{self.kind}:cpu={self.cpu},cores={self.cores},{features}{caches}"

    def has(self, feature: str) -> bool:
        """Whether the processor has this feature. Raises `UsageError` for a name that no such processor has."""
        _check_known(feature, FEATURES[self.kind], f"feature of {self.kind}", str(self))
        return feature in self.features

    @property
    def vector_bits(self) -> int:
        """Width of a vector register: 512, 256 or 128."""
        if "avx512" in self.features:
            return 512
        return 256 if "avx2" in self.features else 128

    @property
    def vector_registers(self) -> int:
        """Number of architectural vector registers: 32 with AVX-512, else 16."""
        return 32 if "avx512" in self.features else 16

    def vector_lanes(self, dtype_bits: int) -> int:
        """Elements of `dtype_bits` in one vector register."""
        return self.vector_bits // dtype_bits

    @property
    def llvm_attributes(self) -> tuple[str, ...]:
        """LLVM's `mattr`: `+` for each feature, `-` for each left out, whatever `cpu` alone would mean."""
        return tuple(
            f"{'+' if feature in self.features else '-'}{attribute}"
            for feature in FEATURES[self.kind]
            for attribute in _LLVM_ATTRIBUTES[feature]
        )


def known_devices() -> tuple[str, ...]:
    """Names that `Target.parse` takes for whole devices, e.g. `x86:avx2-generic`."""
    return tuple(f"{kind}:{name}" for kind, devices in DEVICES.items() for name in devices)


def _key_values(kind: str, body: str, text: str) -> dict[str, str]:
    """What the body of a target's text says: a device's own values first, then those given."""
    first, *rest = (part.strip() for part in body.split(","))
    if "=" in first:
        return _parse_pairs([first, *rest], text)
    devices = DEVICES.get(kind, {})
    _check_known(first, devices, f"{kind} device", text)
    return _parse_pairs(devices[first].split(","), text) | _parse_pairs(rest, text)


def _parse_pairs(parts: Iterable[str], text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f"expected key=value, got {part!r} in target {text!r}; keys: {', '.join(_KEYS)}")
        _check_known(key, _KEYS, "key", text)
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


def _integer(key: str, value: str, text: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise UsageError(f"expected a whole number for {key}, got {value!r} in target {text!r}")
    return int(value)


def _examples() -> str:
    return "for example x86:cpu=x86-64-v3,cores=4,features=sse4+avx2 or x86:avx2-generic"
