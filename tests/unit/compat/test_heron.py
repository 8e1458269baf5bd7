"""Heron's configurations: what is read, and how each mistake is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flextune.compat.heron import METHODS, HeronCase, case_workload, heron_platform, parse_config, read_config
from flextune.cost.cost_model_registry import cost_model_names
from flextune.errors import UsageError
from flextune.search.strategy_registry import check_strategy

VALUES: dict[str, Any] = {
    "out_name": "OUT",
    "method": "CGA",
    "max_trials": 32,
    "runner_number": 3,
    "runner_repeat": 4,
    "runner_timeout": 50,
    "build_timeout": 50,
    "in_dtype": "uint8",
    "out_dtype": "int32",
    "cases": {"G1": ["gemm", [64, 32, 16]], "C1": ["c2d", [1, 14, 14, 8, 16, 3, 3, 1, 1, 1, "OhwI16o4i"]]},
}


def config_text(**changes: object) -> str:
    return json.dumps({"config": {key: value for key, value in {**VALUES, **changes}.items() if value is not None}})


def test_deep_nesting_is_no_json_either() -> None:
    with pytest.raises(UsageError, match="not valid JSON"):
        parse_config("[" * 100_000)


def test_reads_a_configuration() -> None:
    config = parse_config(config_text())
    assert (config.out_name, config.max_trials, config.runner_timeout) == ("OUT", 32, 50)
    assert (config.strategy, config.cost_model, config.dtype) == ("cga", "trees", "uint8")
    assert config.cases[0] == HeronCase("G1", "gemm", (64, 32, 16))


def test_keys_may_stand_at_the_top() -> None:
    assert parse_config(json.dumps(VALUES)) == parse_config(config_text())


def test_heron_calls_the_type_int8() -> None:
    assert parse_config(config_text(in_dtype="int8")).dtype == "uint8"


@pytest.mark.parametrize(
    ("method", "strategy"),
    [("CRAND", ("random", "trees")), ("RAND", ("random", "none")), ("SRGA", ("stochastic-ranking", "trees"))],
)
def test_methods(method: str, strategy: tuple[str, str]) -> None:
    config = parse_config(config_text(method=method))
    assert (config.strategy, config.cost_model) == strategy


def test_every_method_has_a_strategy_and_a_cost_model() -> None:
    for strategy, cost_model in METHODS.values():
        check_strategy(strategy, {})
        assert cost_model in cost_model_names()


def test_the_shipped_example_is_valid() -> None:
    config = read_config(Path(__file__).parents[3] / "examples/heron/quick_start.json")
    assert [case.operator for case in config.cases] == ["gemm"]


def test_the_shipped_example_for_vta_has_its_operators() -> None:
    config = read_config(Path(__file__).parents[3] / "examples/heron/vta.json", "vta")
    workloads = [case_workload(case, config) for case in config.cases]
    assert [(each.operator, each.dtype) for each in workloads] == [
        ("gemm", "int8"),
        ("bmm", "int8"),
        ("conv2d", "int8"),
    ]
    assert workloads[2].param("layout") == "nchw"


def test_tensor_cores_take_pairs_of_types() -> None:
    config = read_config(Path(__file__).parents[3] / "examples/heron/tensorcore.json", "tensorcore")
    assert [str(case_workload(case, config)) for case in config.cases] == [
        "gemm:m=1024,n=1024,k=1024,tb=1,dtype=float16_float32"
    ]
    same = parse_config(config_text(in_dtype="float16", out_dtype="float16"), platform="tensorcore")
    assert same.dtype == "float16"
    with pytest.raises(UsageError, match="out_dtype 'int32' does not run on tensorcore; use 'float32' or 'float16'"):
        parse_config(config_text(in_dtype="float16"), platform="tensorcore")


def test_vta_takes_signed_bytes_alone() -> None:
    with pytest.raises(UsageError, match="in_dtype 'uint8' does not run on vta; use 'int8'"):
        parse_config(config_text(), platform="vta")


def test_cases_become_workloads_in_herons_order() -> None:
    config = parse_config(config_text())
    gemm, conv = (case_workload(case, config) for case in config.cases)
    assert (gemm.operator, gemm.param("m"), gemm.param("k"), gemm.param("n")) == ("gemm", 64, 32, 16)
    assert gemm.dtype == "uint8"
    assert (conv.operator, conv.param("layout"), conv.param("co")) == ("conv2d", "nhwc", 16)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (config_text(max_trials=None), ["missing key", "'max_trials'"]),
        (config_text(max_trials=None, max_trails=32), ["'max_trails'", "did you mean 'max_trials'"]),
        (config_text(runner_numbre=3), ["'runner_numbre'", "did you mean 'runner_number'"]),
        (config_text(zzz=3), ["unknown key 'zzz'", "known keys", "out_name"]),
        (config_text(max_trials="many"), ["whole number", "'max_trials'", '"many"']),
        (config_text(max_trials=True), ["whole number", "'max_trials'"]),
        (config_text(runner_repeat=0), ["'runner_repeat' must be positive", "0"]),
        (config_text(out_name=""), ["'out_name'"]),
        (config_text(method="SAA"), ["unknown method 'SAA'", "did you mean 'SA'"]),
        (config_text(method="CGAA"), ["unknown method 'CGAA'", "did you mean 'CGA'"]),
        (config_text(in_dtype="float16"), ["in_dtype 'float16'", "'uint8'"]),
        (config_text(out_dtype="float32"), ["out_dtype 'float32'", "'int32'"]),
        (config_text(cases={}), ["'cases'"]),
        (config_text(cases=[["gemm", [64, 64, 64]]]), ["'cases'"]),
        (config_text(cases={"G1": ["gemm"]}), ["'G1'", "[operator, [parameters]]"]),
        (config_text(cases={"G1": ["gemm", [64, 6.5, 64]]}), ["'G1'"]),
        (config_text(cases={"../G1": ["gemm", [64, 64, 64]]}), ["'../G1'", "folder"]),
        ('{"config": {', ["not valid JSON"]),
        ("[1]", ["JSON object", "list"]),
        ('{"config": 3}', ["'config'", "int"]),
        (json.dumps({"confg": VALUES}), ["'confg'", "did you mean 'config'"]),
    ],
)
def test_mistakes_are_named(text: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(text, "c.json")
    assert str(caught.value).startswith("c.json: ")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("case", "part"),
    [
        (["gem", [64, 64, 64]], "gemm"),
        (["gemm", [64, 64]], "m k n"),
        (["gemm", [64, 64, 64, 64]], "m k n"),
        (["gemm", [64, 64, 0]], "0"),
        (["gemm", [64, "a", 64]], "'a'"),
    ],
)
def test_a_case_that_is_no_workload_is_named(case: list[object], part: str) -> None:
    config = parse_config(config_text(cases={"G7": case}))
    with pytest.raises(UsageError, match="case 'G7'") as caught:
        case_workload(config.cases[0], config)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("act", "part"),
    [
        (lambda: heron_platform("dlbost"), "did you mean 'dlboost'"),
        (lambda: read_config(Path("no/such.json")), "no configuration file"),
    ],
)
def test_platform_and_file(act: Callable[[], object], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        act()


def test_dlboost_is_supported() -> None:
    assert heron_platform("dlboost").target == ""
