"""`flextune inspect --dim seq=1..512`: every tensor's shape as expressions over the sizes of inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from flextune.cli.output import JsonValue, table
from flextune.importing.input_sizes import dimension_names
from flextune.importing.model import Model, model_from_proto
from flextune.importing.reading import read_proto
from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracker import track_shapes
from flextune.workload.dim import Dim


@dataclass(frozen=True, slots=True, eq=False)
class TrackedModel:
    """A model with what the Shape Tracker finds of its tensors."""

    model: Model
    dims: tuple[Dim, ...]
    """Sizes and ranges of its inputs' dimensions, as given."""
    found: ShapeTable

    @classmethod
    def read(
        cls,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        dims: Sequence[Dim],
        values: Mapping[str, ArrayLike],
    ) -> TrackedModel:
        """Follow a file's shapes; `dims` may also narrow sizes that data decide."""
        proto = read_proto(path)
        names = dimension_names(proto.graph.input)
        of_inputs, others = ([dim for dim in dims if (dim.name in names) == wanted] for wanted in (True, False))
        model = model_from_proto(proto, path.stem, shapes, str(path), only_own=False, values=values, dims=of_inputs)
        return cls(
            model, tuple(of_inputs), track_shapes(model.proto, {dim.name: dim for dim in (*model.dims, *others)})
        )

    def facts(self) -> dict[str, JsonValue]:
        return {
            "dims": [str(dim) for dim in self.found.dims.values()],
            "tensors": {name: self.found.text(name) for name in self._names()},
            "decided_by_data": [str(each) for each in self.found.decided],
            "demands": [str(each) for each in self.found.demands],
            "problems": [str(each) for each in self.found.problems],
        }

    def report(self) -> str:
        nodes, found = self.model.proto.graph.node, self.found
        operators = {name: node.op_type for node in nodes for name in node.output}
        rows = [(name, operators.get(name, "input"), found.text(name)) for name in self._names()]
        decided = {each.dim.name for each in found.decided}
        lines = [
            f"{self.model.name}: shapes of {len(nodes)} nodes",
            *(f"  size       {dim}" for dim in found.dims.values() if dim.name not in decided),
            *(f"  by data    {each}" for each in found.decided),
            *(f"  demands    {each}" for each in found.demands),
            *(f"  not found  {each}" for each in found.problems),
            "",
            table(("tensor", "operator", "shape"), rows),
        ]
        return "\n".join(lines)

    def _names(self) -> list[str]:
        """Inputs, then the results of all nodes."""
        results = [name for node in self.model.proto.graph.node for name in node.output if name]
        return [*(value.name for value in self.model.inputs), *results]
