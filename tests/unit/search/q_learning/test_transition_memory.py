import numpy as np

from flextune.search.q_learning.transition_memory import Batch, Replay, Transition


def transition(action: int, reward: float = 0.0, inputs: int = 2, actions: int = 4) -> Transition:
    state = np.full(inputs, reward, dtype=np.float32)
    return Transition(state, action, reward, state + 1, np.arange(actions) != action)


def test_keeps_the_latest():
    replay = Replay(3)
    for action in range(5):
        replay.add(transition(action))
    assert [each.action for each in replay.transitions] == [2, 3, 4]
    assert len(replay) == 3


def test_draws_all_of_them_and_nothing_else():
    replay = Replay(10)
    rng = np.random.default_rng(0)
    assert replay.sample(rng, 5) == []
    for action in (1, 3):
        replay.add(transition(action))
    counts = np.bincount([each.action for each in replay.sample(rng, 1000)], minlength=4)
    assert counts[[0, 2]].sum() == 0
    assert 400 < counts[1] < 600


def test_forgets_what_is_unwanted_and_goes_on_keeping_the_latest():
    replay = Replay(3)
    for action in (0, 1, 2, 1):
        replay.add(transition(action))
    replay.forget(lambda each: each.action == 1)
    assert [each.action for each in replay.transitions] == [2]
    for action in (3, 4, 5):
        replay.add(transition(action))
    assert [each.action for each in replay.transitions] == [3, 4, 5]


def test_a_batch_is_padded_and_stacked():
    first = Batch.of([transition(1, 0.5)], rows=2, inputs=2, actions=4)
    both = Batch.stacked([first, Batch.of([transition(2), transition(3, -1.0)], rows=2, inputs=2, actions=4)])
    assert both.weight.tolist() == [[1, 0], [1, 1]]
    assert both.action.tolist() == [[1, 0], [2, 3]]
    assert both.reward.tolist() == [[0.5, 0], [0, -1]]
    assert both.state[0, 0].tolist() == [0.5, 0.5]
    assert both.next_state[0, 0].tolist() == [1.5, 1.5]
    assert both.allowed[1].tolist() == [[True, True, False, True], [True, True, True, False]]
