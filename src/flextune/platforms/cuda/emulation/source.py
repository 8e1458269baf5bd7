"""Generated CUDA source as C++ for the emulation: shared arrays, inline assembly and launches rewritten."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flextune.errors import BuildError
from flextune.platforms.cuda.source import HEAD_BEGINS, HEAD_ENDS
from flextune.platforms.gpu.launch_plan import LaunchPlan

_SHARED = re.compile(r"(extern )?__shared__ (?:(?:__align__|alignas)\(\d+\) )?([\w ]+?) (\w+)\[(\d*)\];")
_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\);')
_ASSEMBLY = re.compile(r"(?:__)?asm(?:__)?\s+(?:__)?volatile(?:__)?\s*\(")
_SIZES = {
    "float": 4, "half": 2, "nv_bfloat16": 2, "signed char": 1, "uchar": 1, "char": 1, "int": 4, "uint": 4, "short": 2,
    "ushort": 2, "double": 8, "int64_t": 8, "bool": 1,
}  # fmt: skip
_MMA_TYPES = {
    "f16": "half", "bf16": "nv_bfloat16", "tf32": "emu::tf32", "s8": "signed char", "u8": "unsigned char",
    "f32": "float", "s32": "int",
}  # fmt: skip
_ALIGNMENT = 128

_COPY = """
void emu_copy(char* to, const char* from, int bytes, int valid) {
  for (int i = 0; i < bytes; ++i) to[i] = i < valid ? from[i] : 0;
}
"""


def emulated_source(source: str, plan: LaunchPlan, buffers: tuple[str, ...]) -> str:
    """A translation unit with the kernels of `source` and the table of the plan's launches."""
    before, _, rest = source.partition(HEAD_BEGINS)
    source = before + rest.partition(HEAD_ENDS)[2]
    arguments = {match[1]: list(_pointers(match[2])) for match in _KERNEL.finditer(source)}
    body, static_bytes = _with_shared_arena(source)
    body = _with_assembly_calls(_KERNEL.sub("", body).replace('extern "C" __global__', "static"))
    return "\n".join(['#include "mma.h"', body, _COPY, _launch_table(plan, buffers, arguments, static_bytes)])


def _pointers(parameters: str) -> Iterator[str]:
    for parameter in parameters.split(","):
        yield parameter.rsplit("*", 1)[0].strip() + "*"


def static_shared_bytes(source: str) -> int:
    """What the shared arrays of a source with known sizes take, each from where it is aligned."""
    return _with_shared_arena(source)[1]


def _with_shared_arena(source: str) -> tuple[str, int]:
    """Shared arrays become pointers into the block's arena; dynamic shared memory comes after the static."""
    used = 0
    for external, kind, _, count in _SHARED.findall(source):
        if not external:
            used += _aligned(int(count) * _size(kind))
    total, used = used, 0

    def place(match: re.Match[str]) -> str:
        nonlocal used
        external, kind, name, count = match.groups()
        offset = total if external else used
        if not external:
            used += _aligned(int(count) * _size(kind))
        return f"{kind}* {name} = ({kind}*)emu::shared({offset});"

    return _SHARED.sub(place, source), total


def _size(kind: str) -> int:
    if kind not in _SIZES:
        raise BuildError(f"the emulation knows no shared array of {kind!r}")
    return _SIZES[kind]


def _aligned(size: int) -> int:
    return (size + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT


def _launch_table(
    plan: LaunchPlan, buffers: tuple[str, ...], arguments: dict[str, list[str]], static_bytes: int
) -> str:
    lines = []
    for launch in plan.launches:
        kinds = arguments[launch.kernel]
        passed = ", ".join(
            f"({kind})b[{buffers.index(name)}]" for kind, name in zip(kinds, launch.arguments, strict=True)
        )
        grid, block = (", ".join(map(str, numbers)) for numbers in (launch.grid, launch.block))
        shared = static_bytes + launch.dynamic_shared
        call = f"[](char** b) {{ {launch.kernel}({passed}); }}"
        lines.append(f"  {{{call}, {{{grid}}}, {{{block}}}, {shared}}},")
    table = "\n".join(lines)
    return f"extern const emu::Launch emu_launches[];\nconst emu::Launch emu_launches[] = {{\n{table}\n}};\n" + (
        f"extern const int emu_launch_count;\nconst int emu_launch_count = {len(lines)};\n"
    )


def _with_assembly_calls(source: str) -> str:
    """`asm volatile("opcode..." : outputs : inputs : clobbers)` becomes a call of the emulation."""
    made, at = [], 0
    while match := _ASSEMBLY.search(source, at):
        end = _closing(source, match.end() - 1)
        made += [source[at : match.start()], _assembly_call(source[match.end() : end])]
        at = end + 1
    return "".join(made) + source[at:]


def _closing(text: str, start: int) -> int:
    depth, quoted = 0, False
    for position in range(start, len(text)):
        character = text[position]
        if character == '"' and text[position - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                return position
    raise BuildError("inline assembly does not end")


def _split(text: str, separator: str) -> list[str]:
    parts, depth, quoted, last = [], 0, False, 0
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted:
            depth += (character in "([{") - (character in ")]}")
            if character == separator and depth == 0:
                parts.append(text[last:position])
                last = position + 1
    return [part.strip() for part in (*parts, text[last:])]


def _assembly_call(body: str) -> str:
    template, *sections = _split(body, ":")
    outputs, inputs = ([each for each in _split(part, ",") if each] for part in (*sections, "", "")[:2])
    values = [re.sub(r'^"[^"]*"\s*', "", operand) for operand in (*outputs, *inputs)]
    code = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', template)).replace("\\n", " ").strip().strip("{} ")
    if code.startswith("cp.async.wait_group %0"):
        return f"emu::wait_group({values[0]})"
    if code.startswith("cp.async.wait_all"):
        return "(emu::commit_group(), emu::wait_group(0))"
    if code.startswith("cp.async.commit_group"):
        return "emu::commit_group()"
    if code.startswith("cp.async."):
        to, source, size, *valid = values
        return f"emu::cp_async({to}, {source}, {size}, {valid[0] if valid else size})"
    if matrices := re.match(r"ldmatrix\.sync\.aligned\.m8n8\.x([24])(\.trans)?\.shared\.b16 ", code):
        *registers, address = values
        return f"emu::ldmatrix<{matrices[1]}, {str(bool(matrices[2])).lower()}>({address}, {', '.join(registers)})"
    if product := re.match(r"mma\.sync\.aligned\.m16n8k(\d+)\.row\.col\.(\w+)\.(\w+)\.(\w+)\.\2 ", code):
        steps, sums, left, right = product.groups()
        if sums == "f16":
            return f"emu::mma_m16n8_half<{steps}>({', '.join(values)})"
        kinds = ", ".join(_MMA_TYPES[each] for each in (left, right, sums))
        return f"emu::mma_m16n8<{steps}, {kinds}>({', '.join(values)})"
    raise BuildError(f"the emulation knows no instruction {code[:60]!r}")
