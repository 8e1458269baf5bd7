"""A measured space answers as a device would, on its own clock."""

from dataclasses import replace

import numpy as np
import pytest

from flextune.csp.assignment import Assignment
from flextune.database.space_files import load_space
from flextune.errors import UsageError
from flextune.measure.replay_runner import ReplayDevice, ReplayRunner
from flextune.testing.runners import null_candidate, recorded
from flextune.testing.tables import example_cache, write_table
from flextune.trial.measurement import Status


@pytest.fixture
def space(tmp_path):
    return load_space(write_table(tmp_path, example_cache()))


def test_recorded_outcomes_and_what_they_cost(space):
    device = ReplayDevice(space)
    ran, failed = device.measure([space.trials[0].assignment, space.trials[3].assignment])
    assert (ran.status, ran.secs, ran.build_secs, ran.elapsed_secs) == (Status.OK, 0.002, 0.5, 0.75)
    assert (failed.status, failed.run_secs, failed.error) == (Status.RUN_ERROR, (), "RuntimeFailedConfig")
    assert device.clock_secs == pytest.approx(0.75 + 0.93)


def test_noise_draws_recorded_repeats(space):
    device = ReplayDevice(space, draws=1, rng=np.random.default_rng(0))
    seen = {device.measure([space.trials[0].assignment])[0].secs for _ in range(30)}
    assert seen == {0.001, 0.003}
    averaged = ReplayDevice(space, draws=400, rng=np.random.default_rng(0)).measure([space.trials[0].assignment])
    assert averaged[0].secs == pytest.approx(0.002, rel=0.1)
    assert device.measure([space.trials[3].assignment])[0].status is Status.RUN_ERROR


def test_what_is_not_in_the_space(space):
    with pytest.raises(UsageError, match="not a configuration of the space 'a kernel'"):
        ReplayDevice(space).measure([Assignment({"tile": 3})])
    with pytest.raises(UsageError, match="draws"):
        ReplayDevice(space, draws=-1)
    with pytest.raises(UsageError, match="need a generator"):
        ReplayDevice(space, draws=1)


def test_records_answer_as_the_machine_did():
    candidates = [null_candidate(rows) for rows in (1, 2)]
    again = replace(recorded(candidates[0]), run_secs=(2.0, 3.0), elapsed_secs=7.0)
    runner = ReplayRunner([*map(recorded, candidates), again])
    first, second, unknown = runner.measure([*candidates, null_candidate(4)])
    assert (first.run_secs, second.run_secs) == ((2.0, 3.0), recorded(candidates[1]).run_secs)
    assert (unknown.status, unknown.error[:15]) == (Status.RUN_ERROR, "never measured:")
    assert runner.clock_secs == pytest.approx(7.0 + 0.2)
    assert [each.run_secs for each in runner.compare(candidates[:1], 3)] == [(2.0, 3.0, 2.0)]
