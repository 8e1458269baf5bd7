"""A `Program` as C text: the tables of native/program.h."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flextune.apply.program import (
    Change,
    Control,
    Loop,
    Marker,
    Move,
    Place,
    PlacedTensor,
    Port,
    Program,
    Size,
    Step,
    TensorType,
    dlpack_type,
)
from flextune.apply.signature import Signature
from flextune.apply.symbolic_program import largest
from flextune.apply.symbolic_text import symbolic_tables
from flextune.apply.tables import initializer, quoted, table
from flextune.importing.values import UNKNOWN

KERNEL_PREFIX = "__tvm_ffi_"
"""What TVM puts before a function's name to make its symbol (tvm/ffi/extra/module.h)."""

_MOST_BYTES = 2**63 - 1


def program_text(program: Program, signature: Signature) -> str:
    """C text that defines `ft_the_program`; it is linked with the kernels that it names."""
    inputs = _ports(zip(program.inputs, (spec.dtype for spec in signature.inputs), strict=True))
    outputs = _ports(zip(program.outputs, (spec.dtype for spec in signature.outputs), strict=True))
    parameters = [each for step in program.steps for each in step.parameters]
    arguments = [each if isinstance(each, int) else 0 for each in parameters]
    symbolic = "" if program.symbolic is None else ", &symbolic"
    parts = [
        '#include "program.h"',
        *(
            f"int {KERNEL_PREFIX}{name}(void *, const ft_any *, int32_t, ft_any *) "
            '__attribute__((visibility("hidden")));'
            for name in program.kernels
        ),
        *(
            f"static const int64_t shape_{index}[] = {{{initializer(_declared(tensor.type.shape))}}};"
            for index, tensor in enumerate(program.tensors)
        ),
        *(
            f"static const int64_t strides_{index}[] = {{{initializer(tensor.strides)}}};"
            for index, tensor in enumerate(program.tensors)
            if tensor.strides is not None
        ),
        table("ft_value values", (_value(program, index, tensor) for index, tensor in enumerate(program.tensors))),
        table("ft_step steps", _steps(program)),
        table("int32_t arguments", map(str, arguments)),
        *_loop_tables(program),
        *symbolic_tables(program, KERNEL_PREFIX),
        table("ft_port inputs", inputs),
        table("ft_port outputs", outputs),
        "const ft_program ft_the_program = {values, steps, arguments, inputs, outputs, loops, "
        f"{len(program.tensors)}, {len(program.steps)}, {len(arguments)}, {len(program.inputs)}, "
        f"{len(program.outputs)}, {len(program.loops)}, {_slot_count(program)}, {program.weight_bytes}, "
        f"{program.activation_bytes}, {signature.threads}{symbolic}}};",
    ]
    return "\n".join(parts) + "\n"


def _value(program: Program, index: int, tensor: PlacedTensor) -> str:
    strides = "0" if tensor.strides is None else f"strides_{index}"
    where = f"{int(tensor.place)}, {tensor.port}, {tensor.offset}"
    return (
        f"{{{where}, {_bytes(program, tensor.type)}, {_dtype(tensor.type)}, "
        f"{len(tensor.type.shape)}, shape_{index}, {strides}}}"
    )


def _declared(shape: Sequence[Size]) -> tuple[int, ...]:
    """A shape whose sizes are -1 where they are known only when the model runs."""
    return tuple(size if isinstance(size, int) else UNKNOWN for size in shape)


def _bytes(program: Program, kind: TensorType) -> int:
    """At the largest sizes."""
    dims = () if program.symbolic is None else program.symbolic.dims
    return min(largest(kind.byte_count, dims), _MOST_BYTES)


def _steps(program: Program) -> Iterable[str]:
    first, places = 0, _marker_places(program)
    for index, step in enumerate(program.steps):
        kernel = "0" if step.kernel is None else f"{KERNEL_PREFIX}{step.kernel}"
        kind, target = _kind(index, step, places)
        count = len(step.parameters)
        yield f"{{{kind}, {kernel}, {first}, {count}, {target}, 0}}"
        first += count


def _marker_places(program: Program) -> dict[Marker, int]:
    return {step.marker: index for index, step in enumerate(program.steps) if step.marker is not None}


def _kind(index: int, step: Step, places: Mapping[Marker, int]) -> tuple[str, int]:
    """What the step is to the interpreter, and the loop or step that it goes on with."""
    if step.marker is None:
        return ("FT_COPY" if step.kernel is None else "FT_CALL"), 0
    number = step.marker.number
    match step.marker.control:
        case Control.LOOP:
            return "FT_LOOP", number
        case Control.NEXT:
            return "FT_NEXT", number
        case Control.IF:
            return "FT_UNLESS", places[Marker(Control.ELSE, number)] + 1
        case Control.ELSE:
            return "FT_JUMP", places[Marker(Control.END, number)] + 1
        case Control.END:
            return "FT_JUMP", index + 1


def _loop_tables(program: Program) -> Iterable[str]:
    """The changes of slots of each loop and the values in them, then the loops."""
    places = _marker_places(program)
    rows = []
    for number, loop in enumerate(program.loops):
        moved = _moved(program, loop)
        yield table(f"ft_move moves_{number}", map(_move, loop.moves))
        yield table(f"int32_t moved_{number}", map(str, moved))
        body, end = (places[Marker(control, number)] + 1 for control in (Control.LOOP, Control.NEXT))
        rows.append(
            f"{{{_number(loop.limit)}, {body}, {end}, {loop.count}, {loop.enter}, {loop.again}, {len(loop.moves)}, "
            f"{len(moved)}, moves_{number}, moved_{number}}}"
        )
    yield table("ft_loop loops", rows)


def _moved(program: Program, loop: Loop) -> list[int]:
    """The tensors that lie where the loop's slots point to."""
    slots = {move.slot for move in loop.moves if move.change is not Change.COUNTER}
    tensors = enumerate(program.tensors)
    return [index for index, tensor in tensors if tensor.place is Place.SLOT and tensor.port in slots]


def _slot_count(program: Program) -> int:
    slots = (move.slot for loop in program.loops for move in loop.moves if move.change is not Change.COUNTER)
    return max(slots, default=-1) + 1


def _move(move: Move) -> str:
    return (
        f"{{{int(move.change)}, {move.slot}, {move.value}, {move.other}, {move.result}, {_number(move.start)}, "
        f"{_number(move.step)}}}"
    )


def _number(size: Size) -> str:
    """What is known only when the model runs is filled in then."""
    return f"INT64_C({size if isinstance(size, int) else 0})"


def _ports(ports: Iterable[tuple[Port, str]]) -> list[str]:
    return [f'{{{quoted(port.name)}, "{dtype}", {port.tensor}}}' for port, dtype in ports]


def _dtype(kind: TensorType) -> str:
    code, bits = dlpack_type(kind.dtype)
    return f"{{{code}, {bits}, 1}}"
