import numpy as np

from flextune.cost.scaling import Scaling

ROWS = np.array([[0, 5, np.nan, 1], [2, 5, np.nan, np.nan], [4, 5, np.nan, 3]], dtype=np.float32)


def test_range():
    scaling = Scaling.to_unit_range(ROWS)
    assert scaling.used == (0, 3)
    assert scaling.scaled(ROWS).tolist() == [[-0.5, -0.5], [0, 0], [0.5, 0.5]]
    assert scaling.scaled(np.array([[1e9, 0, 0, -1e9]], dtype=np.float32)).tolist() == [[4, -4]]
    assert scaling.spread(np.array([1.0, 2.0])).tolist() == [1, 0, 0, 2]


def test_deviation():
    scaling = Scaling.to_unit_deviation(ROWS)
    scaled = scaling.scaled(ROWS)
    assert scaling.used == (0, 3)
    assert np.allclose(scaled.mean(axis=0), 0)
    assert np.isclose(scaled[:, 0].std(), 1)
    assert scaled[1, 1] == 0


def test_nothing_differs():
    same = np.ones((3, 2), dtype=np.float32)
    for scaling in (Scaling.to_unit_range(same), Scaling.to_unit_deviation(same)):
        assert scaling.used == ()
        assert scaling.scaled(same).shape == (3, 0)
