from dataclasses import replace

import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.search.extras import is_installed
from flextune.search.q_learning.q_network import Learning, QNetworks
from flextune.search.q_learning.transition_memory import Batch

pytestmark = pytest.mark.skipif(not is_installed("rl"), reason="the extra 'rl' (torch) is not installed")


def networks(count=1, widths=(2, 64, 64, 64, 3), discount=0.9, seed=0, **learning):
    return QNetworks(count, widths, Learning(discount, **learning), rng=np.random.default_rng(seed), device="cpu")


def bandit(rewards, rows=64, seed=0) -> Batch:
    """Random states and actions; an action's reward does not depend on the state, and nothing follows."""
    rng = np.random.default_rng(seed)
    count, actions = np.shape(rewards)
    action = rng.integers(actions, size=(count, rows))
    states = rng.random((count, rows, 2), dtype=np.float32)
    reward = np.take_along_axis(np.array(rewards, dtype=np.float32), action, axis=1)
    allowed = np.zeros((count, rows, actions), dtype=bool)
    return Batch(states, action, reward, states, allowed, np.ones((count, rows), dtype=np.float32))


def trained(learner, batches, steps=300):
    losses = [learner.train(batches[step % len(batches)]) for step in range(steps)]
    return losses[0], losses[-1]


def test_each_network_learns_its_own_rewards():
    rewards = [[0.0, 1.0, -1.0], [2.0, 0.5, 0.0]]
    learner = networks(count=2)
    first, last = trained(learner, [bandit(rewards, seed=seed) for seed in range(8)])
    values = learner.values(np.full((2, 1, 2), 0.5, dtype=np.float32))[:, 0]
    assert last < first / 50
    assert values == pytest.approx(np.array(rewards), abs=0.15)


def test_values_depend_on_the_state():
    batch = bandit([[0.0, 0.0, 0.0]], rows=256)
    reward = np.where(batch.state[..., 0] > 0.5, batch.action == 0, batch.action == 2).astype(np.float32)
    learner = networks()
    trained(learner, [replace(batch, reward=reward)], steps=400)
    low, high = learner.values(np.array([[[0.1, 0.5], [0.9, 0.5]]], dtype=np.float32))[0]
    assert (int(np.argmax(low)), int(np.argmax(high))) == (2, 0)


def test_the_best_allowed_next_action_is_discounted():
    """The state before (0, 0) earns nothing and leads to (1, 1), where action 1 earns 1 and action 2, masked, 5."""
    rng = np.random.default_rng(0)
    action = rng.integers(3, size=(1, 256))
    ends = rng.random((1, 256)) < 0.5
    state = np.repeat(ends[..., None], 2, axis=2).astype(np.float32)
    reward = np.where(ends, np.array([0, 1, 5], dtype=np.float32)[action], 0).astype(np.float32)
    allowed = np.where(ends[..., None], False, np.array([True, True, False]))
    batch = Batch(state, action, reward, np.ones_like(state), allowed, np.ones((1, 256), dtype=np.float32))
    learner = networks(discount=0.5, sync_steps=20)
    trained(learner, [batch], steps=600)
    before, after = learner.values(np.array([[[0, 0], [1, 1]]], dtype=np.float32))[0]
    assert after == pytest.approx([0, 1, 5], abs=0.3)
    assert before == pytest.approx([0.5, 0.5, 0.5], abs=0.15)


def test_targets_come_from_a_network_that_lags():
    state = np.ones((1, 1, 2), dtype=np.float32)
    batch = Batch(state, np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), np.float32), state, np.ones((1, 1, 3), bool),
                  np.ones((1, 1), np.float32))  # fmt: skip
    lagging, following = networks(sync_steps=1000), networks(sync_steps=1)
    trained(lagging, [batch])
    trained(following, [batch])
    stays = lagging.values(state)[0, 0, 0]
    grows = following.values(state)[0, 0, 0]
    assert stays == pytest.approx(1, abs=0.1)
    assert grows > 2


def test_padding_teaches_nothing():
    batch = bandit([[1.0, 1.0, 1.0]])
    learner = networks()
    before = learner.values(batch.state)
    assert learner.train(replace(batch, weight=np.zeros_like(batch.weight))) == 0
    assert (learner.values(batch.state) == before).all()


def test_inherited_values_are_the_mean_of_the_parents():
    learner = networks(discount=0)
    trained(learner, [bandit([[1.0, 3.0, -4.0]])])
    state = np.full((1, 1, 2), 0.5, dtype=np.float32)
    learner.inherit(2, (0, 1))
    values = learner.values(state)[0, 0]
    assert values[2] == pytest.approx((values[0] + values[1]) / 2, abs=1e-5)


def test_the_same_seed_learns_the_same_and_torch_is_left_alone():
    import torch

    torch.manual_seed(1)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    results = []
    for seed in (3, 3, 4):
        learner = networks(seed=seed)
        trained(learner, [bandit([[1.0, 0.0, 0.5]])], steps=5)
        results.append(learner.values(np.ones((1, 1, 2), dtype=np.float32)))
    assert (results[0] == results[1]).all()
    assert not (results[0] == results[2]).all()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_cuda_without_a_device(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert QNetworks(1, (2, 4, 2), Learning(0.9), rng=np.random.default_rng(0)).device == "cpu"
    with pytest.raises(UsageError, match="no CUDA device here; take device=cpu"):
        QNetworks(1, (2, 4, 2), Learning(0.9), rng=np.random.default_rng(0), device="cuda")
