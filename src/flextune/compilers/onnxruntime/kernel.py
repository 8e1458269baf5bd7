"""A subgraph in ONNX Runtime that reads and writes our arrays where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from flextune.aligned import address
from flextune.compilers.onnxruntime.session import Session, open_session
from flextune.compilers.subgraph_compiler import SubgraphOptions, Weights
from flextune.errors import BuildError


class OnnxRuntimeKernel:
    """See `SubgraphKernel`."""

    def __init__(self, content: bytes, weights: Weights, options: SubgraphOptions) -> None:
        self._content, self._weights, self._options = content, weights, options
        self._session: Session | None = open_session(content, weights, options)
        self._inputs = [value.name for value in self._session.session.get_inputs()]
        self._outputs = [value.name for value in self._session.session.get_outputs()]
        self._is_bindable = all(
            value.type.startswith("tensor(") and value.type != "tensor(string)"
            for value in (*self._session.session.get_inputs(), *self._session.session.get_outputs())
        )

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        if self._session is None:
            raise BuildError("the model was unloaded; load it again to run it")
        run = self._run_bound if self._is_bindable else self._run_objects
        try:
            run(self._session.session, inputs, outputs)
        except BuildError:
            raise
        except Exception as error:  # its exceptions have no common base but this one
            raise BuildError(f"ONNX Runtime could not run its part of the model: {_first_line(error)}") from error

    def set_threads(self, threads: int) -> None:
        if threads != self._options.threads:
            self._options = replace(self._options, threads=threads)
            self._session = open_session(self._content, self._weights, self._options)

    def close(self) -> None:
        self._session = None
        self._weights = {}

    def _run_bound(self, session: Any, inputs: Sequence[Any], outputs: list[Any]) -> None:
        """Tensors in and out: in place, but for outputs whose sizes only ONNX Runtime finds."""
        library_session = session.io_binding()
        for name, array in zip(self._inputs, inputs, strict=True):
            library_session.bind_input(name, "cpu", 0, _element(array.dtype), array.shape, address(array))
        for name, array in zip(self._outputs, outputs, strict=True):
            if array is None:
                library_session.bind_output(name, "cpu")
            else:
                library_session.bind_output(name, "cpu", 0, _element(array.dtype), array.shape, address(array))
        session.run_with_iobinding(library_session)
        if any(array is None for array in outputs):
            given = library_session.get_outputs()
            for position, array in enumerate(outputs):
                if array is None:
                    outputs[position] = given[position].numpy()

    def _run_objects(self, session: Any, inputs: Sequence[Any], outputs: list[Any]) -> None:
        """Where strings, sequences, optionals or maps go in or come out, which have no memory of ours."""
        results = session.run(self._outputs, dict(zip(self._inputs, inputs, strict=True)))
        for position, result in enumerate(results):
            if outputs[position] is None:
                outputs[position] = result
            else:
                np.copyto(outputs[position], result, casting="no")


_ELEMENTS: Mapping[str, int] = {
    str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))): kind
    for kind in onnx.TensorProto.DataType.values()
    if kind not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
}


def _element(dtype: np.dtype[Any]) -> int:
    return _ELEMENTS[str(dtype)]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
