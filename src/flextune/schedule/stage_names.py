"""Names of the blocks that restaging adds beside a contraction."""

from __future__ import annotations


def pack_block_name(block: str) -> str:
    """Name of the block that packs an operand of `block`."""
    return f"{block}_pack"


def data_block_name(block: str) -> str:
    """Name of the block that copies the data operand of `block` with zeros up to whole groups, where no stage can."""
    return f"{block}_data"


def store_block_name(block: str) -> str:
    """Name of the block that writes the result of `block` back when no epilogue does."""
    return f"{block}_store"
