"""Sizes of PyTorch modules that differ from call to call become dimensions with names and ranges."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from flextune.errors import ModelError, UsageError

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="the extra 'torch' is not installed"
)


@pytest.fixture(scope="module")
def torch():
    from flextune.torch_import import load_torch

    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    return loaded


def read(torch, function, inputs, dynamic_shapes, **named):
    """The inputs and dimensions of a function as a model, as text."""
    from flextune.importing.torch_export import from_torch

    class Module(torch.nn.Module):
        forward = staticmethod(function)

    model = from_torch(Module(), inputs, dynamic_shapes=dynamic_shapes, **named)
    return [str(spec) for spec in model.inputs], [str(dim) for dim in model.dims]


def test_dims_keep_their_names_and_ranges(torch) -> None:
    batch, seq = torch.export.Dim("batch", min=1, max=8), torch.export.Dim("seq", min=3, max=64)
    x, y = torch.randn(2, 5, 8), torch.randn(2, 7, 8)

    def join(x, y):
        return torch.cat([x, y], 1)

    wanted = ["x: float32[batch, seq, 8]", "y: float32[batch, 2*seq - 3, 8]"], ["batch=1..8", "seq=3..64"]
    by_name = {"y": {0: batch, 1: 2 * seq - 3}, "x": {0: batch, 1: seq}}
    assert read(torch, join, (x, y), ({0: batch, 1: seq}, [batch, 2 * seq - 3, None])) == wanted
    assert read(torch, join, {"y": y, "x": x}, by_name)[1] == wanted[1]


def test_sizes_without_a_dim_are_called_after_an_input(torch) -> None:
    auto = torch.export.Dim.AUTO
    got = read(torch, lambda x, y: x @ y, (torch.randn(3, 4), torch.randn(4, 6)), ({0: auto, 1: auto}, {0: auto}))
    assert got == (["x: float32[x_0, x_1]", "y: float32[x_1, 6]"], ["x_0=2..65536", "x_1=2..65536"])
    few = torch.export.Dim.DYNAMIC(min=2, max=9)
    got = read(torch, lambda x: x + 1, torch.randn(3, 4), ({0: few},), input_names=["data"])
    assert got == (["data: float32[x_0, 4]"], ["x_0=2..9"])


def test_structures_and_multiples(torch) -> None:
    rows = torch.export.Dim("rows", min=1, max=10)
    nested = {"pair": (torch.randn(6, 2), {"z": torch.randn(6, 3)})}
    got = read(
        torch, lambda pair: pair[0].sum(1) + pair[1]["z"].sum(1), nested, {"pair": ({0: rows}, {"z": {0: rows}})}
    )
    assert got[1] == ["rows=1..10"]
    got = read(torch, lambda x: x.view(-1, 4), torch.randn(8), ({0: 4 * rows},))
    assert got == (["x: float32[rows]"], ["rows=8..40:4"])  # PyTorch holds 0 and 1 times 4 for special


def test_an_exported_program_has_its_own(torch) -> None:
    from flextune.importing.torch_export import from_torch

    linear = torch.nn.Linear(4, 3).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(linear, (torch.randn(2, 4),), dynamic_shapes=({0: batch},))
    assert [str(dim) for dim in from_torch(program, None).dims] == ["input_0=2..64"]
    with pytest.raises(UsageError, match="an ExportedProgram has been traced with its own"):
        from_torch(program, None, dynamic_shapes=({0: batch},))


def test_what_does_not_hold_for_all_sizes_says_so(torch) -> None:
    rows = torch.export.Dim("rows", min=1, max=10)
    with pytest.raises(ModelError, match=r"with sizes that change: .*rows.*"):
        read(torch, lambda x: x.view(2, -1), torch.randn(8), ({0: rows},))
    with pytest.raises(ModelError, match="change with what the inputs hold"):
        read(torch, lambda x: x[x > 0], torch.randn(8), None)


def test_a_way_that_is_for_some_sizes_only_is_refused(torch) -> None:
    auto = torch.export.Dim.AUTO

    def branch(x):
        return x * 2 if x.shape[0] == 7 else x + 1

    with pytest.raises(ModelError, match=r"some sizes in range only: .*7.* does not hold for x_0=7; give the sizes"):
        read(torch, branch, torch.randn(8), ({0: auto},))
    assert read(torch, branch, torch.randn(9), ({0: auto(min=8, max=20)},))[1] == ["x_0=8..20"]
    with pytest.raises(ModelError, match=r"some sizes in range only: .*// 2"):
        read(torch, lambda x: x.view(2, -1), torch.randn(8), ({0: auto},))


def test_windows_that_are_right_for_some_sizes_only_are_refused(torch) -> None:
    seq = torch.export.Dim("seq", min=2, max=40)

    def pool(x):
        return torch.nn.functional.adaptive_avg_pool1d(x, 3)

    with pytest.raises(ModelError, match=r"some sizes in range only: .*3.* does not hold for"):
        read(torch, pool, torch.randn(2, 16, 6), ({2: seq},))
