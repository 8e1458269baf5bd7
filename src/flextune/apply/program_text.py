"""A `Program` as C text: the tables of native/program.h."""

from __future__ import annotations

from collections.abc import Iterable

from flextune.apply.program import PlacedTensor, Port, Program, TensorType, dlpack_type
from flextune.apply.signature import Signature

KERNEL_PREFIX = "__tvm_ffi_"
"""What TVM puts before a function's name to make its symbol (tvm/ffi/extra/module.h)."""


def program_text(program: Program, signature: Signature) -> str:
    """C text that defines `ft_the_program`; it is linked with the kernels that it names."""
    inputs = _ports(zip(program.inputs, (spec.dtype for spec in signature.inputs), strict=True))
    outputs = _ports(zip(program.outputs, (spec.dtype for spec in signature.outputs), strict=True))
    arguments = [tensor for step in program.steps for tensor in step.arguments]
    parts = [
        '#include "program.h"',
        *(
            f"int {KERNEL_PREFIX}{name}(void *, const ft_any *, int32_t, ft_any *) "
            '__attribute__((visibility("hidden")));'
            for name in program.kernels
        ),
        *(
            f"static const int64_t shape_{index}[] = {{{_numbers(tensor.type.shape)}}};"
            for index, tensor in enumerate(program.tensors)
        ),
        *(
            f"static const int64_t strides_{index}[] = {{{_numbers(tensor.strides)}}};"
            for index, tensor in enumerate(program.tensors)
            if tensor.strides is not None
        ),
        _table("ft_value values", (_value(index, tensor) for index, tensor in enumerate(program.tensors))),
        _table("ft_step steps", _steps(program)),
        _table("int32_t arguments", map(str, arguments)),
        _table("ft_port inputs", inputs),
        _table("ft_port outputs", outputs),
        "const ft_program ft_the_program = {values, steps, arguments, inputs, outputs, "
        f"{len(program.tensors)}, {len(program.steps)}, {len(arguments)}, {len(program.inputs)}, "
        f"{len(program.outputs)}, {program.weight_bytes}, {program.activation_bytes}, {signature.threads}}};",
    ]
    return "\n".join(parts) + "\n"


def _value(index: int, tensor: PlacedTensor) -> str:
    strides = "0" if tensor.strides is None else f"strides_{index}"
    return (
        f"{{{int(tensor.place)}, {tensor.port}, {tensor.offset}, {tensor.type.nbytes}, {_dtype(tensor.type)}, "
        f"{len(tensor.type.shape)}, shape_{index}, {strides}}}"
    )


def _steps(program: Program) -> Iterable[str]:
    first = 0
    for step in program.steps:
        kernel = "0" if step.kernel is None else f"{KERNEL_PREFIX}{step.kernel}"
        yield f"{{{kernel}, {first}, {len(step.arguments)}}}"
        first += len(step.arguments)


def _ports(ports: Iterable[tuple[Port, str]]) -> list[str]:
    return [f'{{{_quoted(port.name)}, "{dtype}", {port.tensor}}}' for port, dtype in ports]


def _table(declaration: str, rows: Iterable[str]) -> str:
    kind, name = declaration.split()
    body = ",\n  ".join(rows)
    return f"static const {kind} {name}[] = {{\n  {body}\n}};" if body else f"static const {kind} {name}[1];"


def _numbers(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values)) or "0"


def _dtype(kind: TensorType) -> str:
    code, bits = dlpack_type(kind.dtype)
    return f"{{{code}, {bits}, 1}}"


def _quoted(text: str) -> str:
    """A C string literal of UTF-8 bytes; octal escapes, because a hexadecimal one would swallow digits after it."""
    plain = set(range(32, 127)) - {ord('"'), ord("\\"), ord("?")}
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'
