from dataclasses import FrozenInstanceError, dataclass

import pytest

from flextune.errors import UsageError
from flextune.search.evolution.cga import CgaOptions
from flextune.search.strategy_options import OptionText, StrategyOptions, option


@dataclass(frozen=True, slots=True)
class Example(StrategyOptions):
    size: int = option(3, low=1, high=9)
    rate: float = option(0.5, low=0)
    mode: str = option("slow", choices=("slow", "fast"))
    loud: bool = option(False)


def test_defaults_and_parsing():
    assert Example.parse({}) == Example(3, 0.5, "slow", False)
    assert Example.parse({"size": "7", "rate": "2e-3", "mode": "fast", "loud": "yes"}) == Example(
        7, 0.002, "fast", True
    )
    assert str(Example()) == "size=3,rate=0.5,mode=slow,loud=False"
    with pytest.raises(FrozenInstanceError):
        Example().size = 4


def test_text_form_round_trips():
    example = Example(7, 0.25, "fast", True)
    assert Example.parse(dict(part.split("=") for part in str(example).split(","))) == example


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"sise": "3"},
            r"unknown strategy option 'sise': expected one of size, rate, mode, loud; did you mean 'size'\?",
        ),
        ({"size": "many"}, "strategy option size: expected a whole number, got 'many'"),
        ({"size": "2.5"}, "strategy option size: expected a whole number, got '2.5'"),
        ({"size": "0"}, "strategy option size: expected from 1 to 9, got 0"),
        ({"rate": "-1"}, r"strategy option rate: expected at least 0, got -1\.0"),
        ({"rate": "nan"}, "strategy option rate: expected at least 0, got nan"),
        ({"mode": "quick"}, "strategy option mode: expected one of slow, fast, got quick"),
        ({"loud": "maybe"}, "strategy option loud: expected true or false, got 'maybe'"),
    ],
)
def test_bad_options_say_what_is_expected(texts, message):
    with pytest.raises(UsageError, match=message):
        Example.parse(texts)


def test_limits_hold_for_values_made_in_python_too():
    with pytest.raises(UsageError, match="size"):
        Example(size=10)


def test_no_options_at_all():
    with pytest.raises(UsageError, match="unknown strategy option 'size': expected none"):
        StrategyOptions.parse({"size": "3"})


def test_options_can_be_listed():
    assert Example.described()[0] == OptionText("size", "int", "3", "from 1 to 9")
    assert Example.described()[3] == OptionText("loud", "bool", "False", "any value")


def test_cga_defaults_are_the_papers():
    options = CgaOptions()
    assert (options.round_size, options.population, options.history, options.generations) == (32, 200, 32, 5)
    assert (options.parents, options.offspring, options.key_fraction, options.epsilon) == (100, 200, 0.2, 0.4)
