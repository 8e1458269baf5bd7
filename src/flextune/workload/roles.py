"""How a block of a program says what part it plays: rules that look for it find it by that."""

from __future__ import annotations

ROLE = "flextune.role"
"""The block annotation (`attrs` of `te.compute`) whose value is the role, such as `winograd.product`."""

SPREAD = "transposed.spread"
"""The role of a block that puts zeros between the elements of an image, for a transposed convolution."""
STRIDES, LOWS = "flextune.strides", "flextune.lows"
"""Its annotations: along each dimension, places between neighbouring elements, and places before the first one."""

PREFIX_SUM = "prefix sum"
"""The role of a block that sums up the elements of a row as far as each result."""
