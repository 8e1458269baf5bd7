"""In how many bits a model computes, as a value."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flextune.errors import UsageError
from flextune.registry import nearest
from flextune.target import kinds
from flextune.target.target import Target
from flextune.tvm_types import RelaxVar

if TYPE_CHECKING:
    import tvm

_LIGHT = 100
"""A product of a single row reads each weight once: bfloat16 saves it traffic, and costs an output digits that nothing
averages out. With a hundredth of the model's weights there is next to nothing to save."""
_NAMES = {"float32": "float32", "f32": "float32", "fp32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class Precision:
    """`float32`, or `bfloat16`: products of matrices from bfloat16, sums and all else in float32.

    `keep` are the numbers of the layers that stay float32 in a bfloat16 model (see `product_layers`). Products of a
    single row with constants of at most `light_bytes`, and others that are light (see `narrow.narrow_function`), stay
    float32 in any case; that depends on the model (`of`).

    >>> str(Precision.parse("bf16")), str(Precision("bfloat16", (0, 7)))
    ('bfloat16', 'bfloat16,keep=0+7')
    """

    name: str = "float32"
    keep: tuple[int, ...] = ()
    light_bytes: int = 0

    @classmethod
    def parse(cls, text: str) -> Precision:
        """Inverse of `str`; bf16 means bfloat16. UsageError with the nearest name for any other."""
        if not isinstance(text, str):
            raise UsageError(f"expected the name of a precision, float32 or bfloat16, got {text!r:.80}")
        name, _, rest = text.partition(",keep=")
        if name not in _NAMES:
            raise UsageError(f"unknown precision {text!r}: {nearest(name, ('float32', 'bfloat16', 'bf16'))}")
        numbers = rest.split("+") if rest else []
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise UsageError(f"expected layers to keep in float32 as in bf16,keep=0+7, got {text!r}")
        return cls(_NAMES[name]).keeping(tuple(map(int, numbers)))

    def __str__(self) -> str:
        return f"{self.name},keep={'+'.join(map(str, self.keep))}" if self.keep else self.name

    @property
    def is_float32(self) -> bool:
        return self.name == "float32"

    def keeping(self, layers: Collection[int]) -> Precision:
        """The same with these layers in float32."""
        return replace(self, keep=tuple(sorted(set(layers))))

    def of(self, weight_bytes: int) -> Precision:
        """The same for a model with so many bytes of constants."""
        return self if self.is_float32 else replace(self, light_bytes=weight_bytes // _LIGHT)

    def check(self, target: Target) -> None:
        """UsageError for a target without the instructions: there bfloat16 would only be slower."""
        obstacle = "" if self.is_float32 else kinds.get(target.kind).obstacle(target, self.name)
        if obstacle:
            raise UsageError(f"--precision bf16 needs {obstacle}. Use --precision float32")


FLOAT32 = Precision()


def with_precision(
    module: tvm.IRModule, precision: Precision, entries: Sequence[str] = ("main",), wide: Collection[RelaxVar] = ()
) -> tvm.IRModule:
    """A lowered module whose Relax functions `entries` compute in `precision`; see `rewrite.in_bfloat16`."""
    if precision.is_float32:
        return module
    from flextune.lowering.precision.rewrite import in_bfloat16  # here, because it loads TVM

    return in_bfloat16(module, entries, precision.keep, wide, precision.light_bytes)
