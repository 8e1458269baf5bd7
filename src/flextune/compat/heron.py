"""Heron's own JSON configurations: read, checked, and run case by case with flextune.

A configuration names an output folder, a method, a number of trials, the measuring options and `cases`:
`{"config": {"out_name": "OPS/GEMM", "method": "CGA", ..., "cases": {"G1": ["gemm", [64, 64, 64]]}}}`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flextune.errors import UsageError
from flextune.printable import json_values
from flextune.workload.elements import WIDE_SUMS
from flextune.workload.named import heron_workload
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class HeronPlatform:
    """One of Heron's platforms as it is here."""

    name: str
    dtypes: Mapping[tuple[str, str], str]
    """What `in_dtype` and `out_dtype` may be together, and the workloads' dtype for them."""
    channels_last: bool = False
    """Whether images are."""
    target: str = ""
    """Its text; empty for this machine."""
    device: str = ""
    """The kind of target of this machine's device, where it is not the processor."""


PLATFORMS: Mapping[str, HeronPlatform] = {
    # u8 x s8 -> s32, which Heron's files call uint8 or int8
    "dlboost": HeronPlatform("dlboost", {("uint8", "int32"): "uint8", ("int8", "int32"): "uint8"}, channels_last=True),
    "vta": HeronPlatform("vta", {("int8", "int32"): "int8"}, target="vta"),
    "tensorcore": HeronPlatform(
        "tensorcore",
        {
            ("float16", "float32"): WIDE_SUMS,
            ("float16", "float16"): "float16",
            ("bfloat16", "float32"): "bfloat16",
            ("tf32", "float32"): "tf32",
            ("int8", "int32"): "int8",
            ("uint8", "int32"): "uint8",
        },
        device="cuda",
    ),
}

METHODS: Mapping[str, tuple[str, str]] = {
    "CGA": ("cga", "trees"),
    "CRAND": ("random", "trees"),
    "RAND": ("random", "none"),
    "RCGA": ("cga-random-keys", "trees"),
    "GA": ("ga", "trees"),
    "SRGA": ("stochastic-ranking", "trees"),
    "SDGA": ("sat-decoder", "trees"),
    "IDEA": ("idea", "trees"),
    "SA": ("annealing", "trees"),
}
"""Heron's method -> strategy and cost model here. CRAND ranks its random samples by the cost model, RAND does not."""

_REQUIRED: Mapping[str, type] = {
    "out_name": str,
    "method": str,
    "max_trials": int,
    "runner_number": int,
    "runner_repeat": int,
    "runner_timeout": int,
    "build_timeout": int,
    "in_dtype": str,
    "out_dtype": str,
    "cases": dict,
}
_OPTIONAL: Mapping[str, type] = {"temperature": float}

CaseParameter = int | str


@dataclass(frozen=True, slots=True)
class HeronCase:
    """One problem: an operator in Heron's name and its parameters in Heron's order (without the dtypes)."""

    name: str
    operator: str
    parameters: tuple[CaseParameter, ...]


@dataclass(frozen=True, slots=True)
class HeronConfig:
    """A checked configuration. Timeouts are seconds; each of `runner_repeat` repeats averages `runner_number` runs."""

    out_name: str
    """The folder that results are written into."""
    method: str
    """The search method, as Heron names it."""
    max_trials: int
    """Measurements of each case."""
    runner_number: int
    runner_repeat: int
    runner_timeout: int
    """Of a run."""
    build_timeout: int
    """Of a build."""
    in_dtype: str
    """Of the operands."""
    out_dtype: str
    """Of the sums."""
    cases: tuple[HeronCase, ...]
    """The shapes, one after the other."""
    platform: HeronPlatform
    """What they run on."""

    @property
    def strategy(self) -> str:
        return METHODS[self.method][0]

    @property
    def cost_model(self) -> str:
        return METHODS[self.method][1]

    @property
    def dtype(self) -> str:
        """The workloads' dtype."""
        return self.platform.dtypes[self.in_dtype, self.out_dtype]


def heron_platform(name: str) -> HeronPlatform:
    """The platform that Heron calls so. Raises `UsageError` for one that is not supported, or no name at all."""
    if name in PLATFORMS:
        return PLATFORMS[name]
    raise UsageError(f"unknown platform {name!r}{_nearest(name, [*PLATFORMS])}; expected {', '.join(PLATFORMS)}")


def read_config(path: Path, platform: str = "dlboost") -> HeronConfig:
    """Reads and checks a configuration file for a platform. Raises `UsageError` naming the file and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read configuration {path}: {error}") from None
    return parse_config(text, str(path), platform)


def parse_config(text: str, where: str = "configuration", platform: str = "dlboost") -> HeronConfig:
    """Checks the text of a configuration; its keys stand under `config` or at the top level."""
    try:
        document = json_values(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise UsageError(f"{where}: expected a JSON object, got {type(document).__name__}")
    values = document.get("config", document)
    if not isinstance(values, dict):
        raise UsageError(f"{where}: expected an object under 'config', got {type(values).__name__}")
    if values is document and (close := difflib.get_close_matches("config", [*document], 1)) and len(document) == 1:
        raise UsageError(f"{where}: unknown key {close[0]!r}; did you mean 'config'?")
    _check_keys(values, where)
    checked = {key: _typed(key, values[key], kind, where) for key, kind in _REQUIRED.items() if key != "cases"}
    config = HeronConfig(
        **checked,  # type: ignore[arg-type]
        cases=_cases(values["cases"], where),
        platform=heron_platform(platform),
    )
    _check_values(config, where)
    return config


def _nearest(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _check_keys(values: Mapping[str, object], where: str) -> None:
    known = [*_REQUIRED, *_OPTIONAL]
    missing = [key for key in _REQUIRED if key not in values]
    for key in values:
        if key not in known:
            candidates = missing or known
            hint = _nearest(key, candidates) or _nearest(key, known)
            raise UsageError(f"{where}: unknown key {key!r}{hint or '; known keys: ' + ', '.join(known)}")
    if missing:
        raise UsageError(f"{where}: missing key{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}")


def _typed(key: str, value: object, kind: type, where: str) -> int | str:
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or not isinstance(value, kind):
        expected = {int: "a whole number", str: "a text"}[kind]
        raise UsageError(f"{where}: expected {expected} for {key!r}, got {json.dumps(value)}")
    if value == "":
        raise UsageError(f"{where}: {key!r} must not be empty")
    if isinstance(value, int) and value <= 0:
        raise UsageError(f"{where}: {key!r} must be positive, got {value}")
    return value


def _cases(value: object, where: str) -> tuple[HeronCase, ...]:
    if not isinstance(value, dict) or not value:
        shown = json.dumps(value)[:80]
        raise UsageError(f"{where}: 'cases' must be an object of name: [operator, [parameters]], got {shown}")
    return tuple(_case(name, case, where) for name, case in value.items())


def _case(name: str, case: object, where: str) -> HeronCase:
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise UsageError(f"{where}: case {name!r} cannot be the name of a folder")
    match case:
        case [str(operator), [*items]]:
            parameters = tuple(item for item in items if isinstance(item, int | str) and not isinstance(item, bool))
            if len(parameters) == len(items):
                return HeronCase(name, operator, parameters)
    raise UsageError(f"{where}: case {name!r}: expected [operator, [parameters]], got {json.dumps(case)[:120]}")


def _check_values(config: HeronConfig, where: str) -> None:
    if config.method not in METHODS:
        hint = _nearest(config.method, [*METHODS])
        raise UsageError(f"{where}: unknown method {config.method!r}{hint}; use one of {', '.join(METHODS)}")
    name, dtypes = config.platform.name, config.platform.dtypes
    sums = {given: [out for other, out in dtypes if other == given] for given, _ in dtypes}
    if config.in_dtype not in sums:
        usable = " or ".join(map(repr, sums))
        raise UsageError(f"{where}: in_dtype {config.in_dtype!r} does not run on {name}; use {usable}")
    if config.out_dtype not in sums[config.in_dtype]:
        usable = " or ".join(map(repr, sums[config.in_dtype]))
        raise UsageError(f"{where}: out_dtype {config.out_dtype!r} does not run on {name}; use {usable}")


def case_workload(case: HeronCase, config: HeronConfig) -> Workload:
    """The case as a workload here. Raises `UsageError` naming the case."""
    try:
        return heron_workload(case.operator, case.parameters, config.dtype, config.platform.channels_last)
    except UsageError as error:
        raise UsageError(f"case {case.name!r}: {error}") from None
