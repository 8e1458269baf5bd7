from dataclasses import replace

import numpy as np
import pytest

from flextune.cost.features import FeatureTable
from flextune.cost.shared_features import computed_features, shared_features
from flextune.cost.task_description import Axis, Operand, Role, TaskDescription
from flextune.csp.assignment import Assignments


def tiled(axis, extent, tile):
    return Axis(axis, extent, levels=((tile,), (f"cache_{axis}",), (f"grid_{axis}",)))


def along(*axes):
    return tuple(Role(f"{purpose}_{axis}", purpose, axis) for purpose in ("tile", "cache", "grid") for axis in axes)


GEMM = TaskDescription(
    operator="gemm",
    axes=(tiled("i", 512, "tile_i"), tiled("j", 256, "panel"), Axis("k", 128, reduced=True)),
    vector="j",
    operands=(
        Operand("C", 4, True, ((("i", 1),), (("j", 1),))),
        Operand("A", 4, False, ((("i", 1),), (("k", 1),))),
        Operand("B", 4, False, ((("k", 1),), (("j", 1),))),
    ),
    numbers=(("operations", 2.0**25), ("cores", 2.0), ("l1 bytes", 2.0**15)),
    roles=(*along("i", "j"), Role("at_gemm", "at"), Role("dense.cache_j", "other cache")),
)
GEMM_NAMES = ("tile_i", "panel", "cache_i", "grid_i", "cache_j", "grid_j", "tasks", "at_gemm")
CONV = TaskDescription(
    operator="conv2d",
    axes=(
        tiled("co", 64, "panel"),
        tiled("oh", 28, "tile_oh"),
        tiled("ow", 28, "tile_ow"),
        Axis("rc", 32, reduced=True),
        Axis("rh", 3, reduced=True),
        Axis("rw", 3, reduced=True),
    ),
    vector="co",
    operands=(
        Operand("out", 4, True, ((("co", 1),), (("oh", 1),), (("ow", 1),))),
        Operand("data", 4, False, ((("rc", 1),), (("oh", 2), ("rh", 1)), (("ow", 2), ("rw", 1)))),
        Operand("weight", 4, False, ((("co", 1),), (("rc", 1),), (("rh", 1),), (("rw", 1),))),
    ),
    roles=along("co", "oh", "ow"),
)
CONV_NAMES = ("tile_oh", "tile_ow", "panel", "cache_co", "cache_oh", "cache_ow")


def row(names, task, values, features=shared_features):
    table = FeatureTable(features(names, task))
    space = Assignments({name: np.array([value]) for name, value in zip(names, values, strict=True)})
    return dict(zip(table.names, table.rows(space)[0].tolist(), strict=True))


def gemm(*values, task=GEMM):
    return row(GEMM_NAMES, task, values)


def test_variables_go_by_role_and_place():
    found = gemm(7, 16, 3, 1, 15, 7, 7, 1)
    assert found["tile of row"] == 3
    assert found["panel"] == pytest.approx(np.log2(17))
    assert (found["cache of row"], found["cache of vector"]) == (2, 4)
    assert found["cache of all"] == pytest.approx(np.log2(1 + 45))
    assert found["at"] == 1


def test_bytes_of_a_tile():
    found = gemm(4, 16, 8, 16, 2, 8, 128, 0)
    assert found["bytes of result in tile"] == 8
    assert found["bytes of scalars in tile"] == 11
    assert found["bytes of vectors in tile"] == 13
    assert found["bytes in tile"] == pytest.approx(np.log2(2**8 + 2**11 + 2**13))
    assert found["part of l1 bytes in tile"] == pytest.approx(np.log2(2**8 + 2**11 + 2**13) - 15)
    assert found["operations per byte in tile"] == pytest.approx(np.log2(2 * 64 * 128) - found["bytes in tile"])
    assert found["bytes of result in block"] == 8 + 3 + 1


def test_parts_and_padding():
    found = gemm(5, 48, 8, 16, 2, 8, 3, 0)
    assert found["part of row in tile"] == pytest.approx(np.log2(5 / 512))
    assert found["padding of row"] == pytest.approx(103 * 5 / 512)
    assert found["padding of vector"] == pytest.approx(6 * 48 / 256)
    assert found["idle cores"] == pytest.approx(4 / 3)


def test_a_tile_is_not_larger_than_the_axis():
    assert gemm(600, 16, 8, 1, 2, 8, 1, 0)["part of row in tile"] == 0


def test_a_window_reads_its_span():
    found = row(CONV_NAMES, CONV, (2, 4, 16, 1, 1, 1))
    assert found["bytes of scalars in tile"] == pytest.approx(np.log2(4 * 32 * (1 + 2 + 2) * (1 + 6 + 2)))
    assert found["bytes of vectors in tile"] == pytest.approx(np.log2(4 * 16 * 32 * 9))
    assert (found["tile of row"], found["tile of second row"]) == (pytest.approx(np.log2(5)), pytest.approx(np.log2(3)))


def test_other_shapes_have_the_same_features_and_say_how_large_they_are():
    larger = replace(GEMM, axes=(tiled("i", 1024, "tile_i"), *GEMM.axes[1:]))
    one, other = gemm(4, 16, 8, 16, 2, 8, 128, 0), gemm(4, 16, 8, 16, 2, 8, 128, 0, task=larger)
    assert list(one) == list(other)
    assert (one["extent of row"], other["extent of row"]) == (9, 10)
    assert one["bytes in tile"] == other["bytes in tile"]


def test_features_have_names_of_their_own():
    for names, task in ((GEMM_NAMES, GEMM), (CONV_NAMES, CONV), (("a", "b_gemm", "n1.a"), GEMM)):
        found = FeatureTable(shared_features(names, task)).names
        assert len(set(found)) == len(found)


def test_roles():
    assert GEMM.role("cache_i") == Role("cache_i", "cache", "i")
    assert GEMM.role("dense.cache_j") == Role("dense.cache_j", "other cache")
    assert GEMM.role("unroll") == Role("unroll", "unroll")


def test_without_a_description_variables_are_their_own_roles():
    assert row(("width", "flag"), TaskDescription(), (3, 1)) == {"width": 2, "flag": 1}
    assert row(("width",), TaskDescription(), (3,), computed_features) == {}


def test_what_is_computed_depends_on_variables():
    assert all(feature.variables for feature in computed_features(GEMM_NAMES, GEMM))
    assert {"bytes in tile", "idle cores"} <= set(
        row(GEMM_NAMES, GEMM, (4, 16, 8, 16, 2, 8, 128, 0), computed_features)
    )


def test_variables_that_are_missing_do_not_count():
    found = row(("tile_i",), GEMM, (4,))
    assert found["bytes of result in tile"] == 4
