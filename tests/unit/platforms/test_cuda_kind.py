"""Targets of kind cuda."""

import pytest

from flextune.errors import UsageError
from flextune.platforms.cuda.devices import DEVICES
from flextune.target.target import Target


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_is_a_text_that_round_trips(device):
    target = Target.parse(f"cuda:{device}")
    assert Target.parse(str(target)) == target
    assert Target.parse(f"cuda:{device},shared=49152").number("shared") == 49152
    assert target.number("warp") == 32
    assert target.number("shared") % 1024 == 0


def test_what_only_guesses_speed_changes_no_records():
    assert Target.parse("cuda:a100,bandwidth=1555").key == Target.parse("cuda:a100").key
    assert Target.parse("cuda:a100,shared=49152").key != Target.parse("cuda:a100").key


def test_an_unknown_device_is_named_with_its_neighbours():
    with pytest.raises(UsageError, match="a100"):
        Target.parse("cuda:a10o")
