"""PyTorch modules become models that compute the same."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from flextune.errors import ModelError, UsageError
from flextune.testing.models import evaluate

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("onnxscript") is None, reason="the extra 'torch' is not installed"
)


@pytest.fixture(scope="module")
def torch():
    from flextune.torch_import import load_torch

    loaded = load_torch("these tests")
    loaded.manual_seed(0)
    return loaded


def test_a_module_becomes_a_model_in_evaluation_mode(torch) -> None:
    from flextune.importing.torch_export import from_torch

    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Dropout(0.5), torch.nn.Tanh())
    x = torch.randn(2, 6)
    model = from_torch(module, x, name="small", input_names=["x"], output_names=["y"])
    assert module.training
    assert module[1].training
    assert (model.name, model.outputs) == ("small", ("y",))
    assert [str(spec) for spec in model.inputs] == ["x: float32[2, 6]"]
    want = module.eval()(x).detach().numpy()
    np.testing.assert_allclose(evaluate(model.proto, {"x": x.numpy()})[0], want, rtol=1e-5, atol=1e-6)


def test_arguments_may_have_names(torch) -> None:
    from flextune.importing.torch_export import from_torch

    class Difference(torch.nn.Module):
        def forward(self, left, right):
            return left - right

    model = from_torch(Difference(), {"right": torch.ones(3), "left": torch.zeros(3)})
    assert {spec.name for spec in model.inputs} == {"left", "right"}
    inputs = {"left": np.full(3, 5, np.float32), "right": np.full(3, 2, np.float32)}
    np.testing.assert_array_equal(evaluate(model.proto, inputs)[0], np.full(3, 3, np.float32))


def test_an_exported_program_is_taken_as_it_is(torch) -> None:
    from flextune.importing.torch_export import from_torch

    program = torch.export.export(torch.nn.Linear(4, 3).eval(), (torch.randn(1, 4),))
    assert from_torch(program, None, name="program").inputs[0].shape == (1, 4)


def test_what_cannot_be_taken_says_why(torch) -> None:
    from flextune.importing.torch_export import from_torch

    class Branch(torch.nn.Module):
        def forward(self, x):
            return x + 1 if x.sum() > 0 else x - 1

    class Count(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)
            return x + self.count

    with pytest.raises(ModelError, match=r"torch.export cannot trace Branch: .*depends on values"):
        from_torch(Branch(), torch.randn(3))
    with pytest.raises(ModelError, match="Count changes count while it runs"):
        from_torch(Count(), torch.randn(1))
    with pytest.raises(UsageError, match=r"expected a torch.nn.Module or an ExportedProgram, got str"):
        from_torch("module", torch.randn(3))
    with pytest.raises(UsageError, match="example_inputs: expected a tensor, a tuple"):
        from_torch(torch.nn.ReLU(), 3)


def test_empty_batches_are_refused(torch) -> None:
    from flextune.importing.torch_export import from_torch

    with pytest.raises(ModelError, match=r"of shape \[0, 4\] has no elements"):
        from_torch(torch.nn.Linear(4, 3).eval(), torch.randn(0, 4))
    with pytest.raises(ModelError, match=r"of shape \[0, 1, 4\] has no elements"):
        from_torch(torch.nn.Flatten(0, 1), torch.randn(0, 1, 4))


def test_the_operators_of_the_exporter_are_read_once(torch, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.onnx._internal.exporter import _registration

    from flextune.importing.torch_export import from_torch

    source, reads = _registration.onnxscript_apis, []
    read = source.get_torchlib_ops
    monkeypatch.setattr(source, "get_torchlib_ops", lambda: reads.append(1) or read())
    module, x = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.GELU()), torch.randn(2, 6)
    first, second = (from_torch(module, x, name="small").proto.SerializeToString() for _ in range(2))
    assert (reads, first) == ([1], second)
