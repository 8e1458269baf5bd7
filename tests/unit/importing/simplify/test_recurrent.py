"""Recurrent layers as loops, with every option that ONNX has, held against ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.apply.signature import Runtime
from flextune.errors import ModelError
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
ACTIVATIONS = {
    "Affine": (0.7, 0.2),
    "Elu": (0.6,),
    "HardSigmoid": (0.3, 0.4),
    "LeakyRelu": (0.2,),
    "Relu": (),
    "ScaledTanh": (0.8, 0.6),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": (0.1,),
}


@dataclass
class Layers:
    """Recurrent nodes of one model, and what they read."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def proto(self) -> onnx.ModelProto:
        return model_of(self.nodes, self.inputs, self.outputs, self.constants)

    def add(self, operator: str, rng: np.random.Generator, **options: object) -> None:
        """Add a node; options that are not given are drawn."""
        drawn = {**_options(operator, rng), **options}
        stem, hidden = f"n{len(self.nodes)}", int(rng.integers(1, 40))
        steps, batch, size = (int(rng.integers(1, most)) for most in (9, 5, 12))
        steps = int(drawn.get("steps", steps))  # type: ignore[call-overload]
        directions = 2 if drawn["direction"] == "bidirectional" else 1
        width, first = GATES[operator] * hidden, bool(drawn["layout"])
        state = [batch, directions, hidden] if first else [directions, batch, hidden]
        shapes = [[batch, steps, size] if first else [steps, batch, size]]
        shapes += [[directions, width, size], [directions, width, hidden], [directions, 2 * width]]
        shapes += [[batch], state, state, [directions, 3 * hidden]]
        names = [f"{stem}_{name}" for name in ("x", "w", "r", "b", "lengths", "h", "c", "p")]
        names = names[: 8 if operator == "LSTM" else 6]
        for place, name in enumerate(names):
            names[place] = name if place < 3 or drawn["present"][place] else ""  # type: ignore[index]
        for place, (name, shape) in enumerate(zip(names, shapes, strict=False)):
            if name:
                self._give(name, place, shape, steps, rng, bool(drawn["constants"]))
        results = [f"{stem}_{name}" for name in ("y", "y_h", "y_c")][: 3 if operator == "LSTM" else 2]
        kept = drawn["outputs"]
        results = [name if place in kept else "" for place, name in enumerate(results)]  # type: ignore[operator]
        all_steps = [batch, steps, directions, hidden] if first else [steps, directions, batch, hidden]
        self.outputs += [value(n, s) for n, s in zip(results, [all_steps, state, state], strict=False) if n]
        attributes = {"layout": int(first), **drawn["attributes"]}  # type: ignore[dict-item]
        if drawn["activations"]:
            attributes |= _activations(FUNCTIONS[operator] * directions, rng)
        node = helper.make_node(
            operator, names, results, stem, hidden_size=hidden, direction=drawn["direction"], **attributes
        )
        self.nodes.append(node)

    def _give(
        self, name: str, place: int, shape: list[int], steps: int, rng: np.random.Generator, constants: bool
    ) -> None:
        if place == 4:
            lengths = rng.integers(1, steps + 1, shape).astype(np.int32)
            if constants:
                self.constants[name] = lengths
            else:
                self.lengths[name] = lengths
                self.inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT32, shape))
        elif constants and place in (1, 2, 3, 7):
            self.constants[name] = 0.4 * random_array(int(rng.integers(1000)), *shape)
        else:
            self.inputs.append(value(name, shape))

    def check(self) -> Executable:
        """The built model gives what ONNX Runtime gives, in a library of its own."""
        proto = self.proto
        wanted = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        model = model_from_proto(self.proto, "recurrent")
        small = {name: array * np.float32(0.4) for name, array in model.random_inputs(4).items()}
        inputs = {**small, **self.lengths}
        executable = compile_model(partition_model(model), {}, detect()).executable
        assert executable.signature.runtime is Runtime.OWN, executable.notes
        got = executable.run(inputs)
        for name, want in zip(model.outputs, wanted.run(None, inputs), strict=True):
            largest = max(1.0, float(np.abs(want).max()))
            np.testing.assert_allclose(got[name], want, 1e-4, 2e-5 * largest, err_msg=str(self._node(name)))
        return executable

    def _node(self, output: str) -> onnx.NodeProto:
        return next(node for node in self.nodes if output in node.output)


def _options(operator: str, rng: np.random.Generator) -> dict[str, object]:
    attributes: dict[str, object] = {}
    if rng.random() < 0.3:
        attributes["clip"] = float(rng.uniform(0.2, 1.0))
    if operator == "GRU":
        attributes["linear_before_reset"] = int(rng.integers(2))
    if operator == "LSTM":
        attributes["input_forget"] = int(rng.random() < 0.3)
    present = {place: rng.random() < 0.5 for place in range(8)}
    present[6], present[7] = present[5] and operator == "LSTM", present[7] and operator == "LSTM"
    return {
        "direction": str(rng.choice(["forward", "reverse", "bidirectional"])),
        "layout": 0,  # ONNX Runtime has no other one
        "constants": rng.random() < 0.7,
        "activations": rng.random() < 0.4,
        "outputs": {0, 1, 2} if rng.random() < 0.6 else {int(rng.integers(2))},
        "attributes": attributes,
        "present": present,
    }


def _activations(count: int, rng: np.random.Generator) -> dict[str, object]:
    names = [str(rng.choice(list(ACTIVATIONS))) for _ in range(count)]
    given = {
        f"activation_{name}": [ACTIVATIONS[each][place] for each in names if len(ACTIVATIONS[each]) > place]
        for place, name in enumerate(("alpha", "beta"))
    }
    return {"activations": names} | {name: values for name, values in given.items() if values}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("operator", sorted(GATES))
def test_any_options(operator: str, seed: int) -> None:
    rng = np.random.default_rng([seed, sorted(GATES).index(operator)])
    layers = Layers()
    for _ in range(4):
        layers.add(operator, rng)
    layers.check()


def test_many_steps_are_one_body() -> None:
    """Neither the library nor the number of its kernels depends on the number of steps."""
    sizes = {}
    for steps in (2, 400):
        weights = {"w": random_array(1, 1, 64, 8), "r": random_array(2, 1, 64, 16)}
        node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=16)
        proto = model_of([node], [value("x", [steps, 1, 8])], [value("y", [steps, 1, 1, 16])], weights)
        partition = partition_model(model_from_proto(proto, "recurrent"))
        signature = compile_model(partition, {}, detect()).executable.signature
        sizes[steps] = (signature.weight_bytes, len(signature.kernels))
        assert max(task.count for task in partition.tasks) == steps
    (few_bytes, few_steps), (many_bytes, many_steps) = sizes.values()
    assert many_steps == few_steps
    assert abs(many_bytes - few_bytes) < 0.1 * few_bytes


@pytest.mark.parametrize("operator", sorted(GATES))
@pytest.mark.parametrize("given", [set(), {4}, {5, 6}])
def test_one_step_is_no_loop(operator: str, given: set[int]) -> None:
    """Nothing is stored of what only a state of zeros would be multiplied by; a state that is given takes part."""
    layers, present = Layers(), {place: place in given for place in range(8)}
    layers.add(
        operator, np.random.default_rng(3), direction="bidirectional", constants=True, steps=1, present=present,
        outputs={0, 1, 2}, activations=False, attributes={},
    )  # fmt: skip
    stored = layers.check().signature.weight_bytes
    of_input, of_state = (layers.constants[f"n0_{name}"].nbytes for name in "wr")
    assert (stored < of_input + of_state) == (5 not in given)


def test_what_is_no_loop_is_refused_by_name() -> None:
    layers = Layers()
    layers.add("RNN", np.random.default_rng(0), activations=False, attributes={"activations": ["Gelu"] * 2})
    with pytest.raises(ModelError, match="activation Gelu") as raised:
        partition_model(model_from_proto(layers.proto, "recurrent"))
    assert "n0" in str(raised.value)
