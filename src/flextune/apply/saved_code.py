"""Saved models of all forms: what they take and give, and what runs them."""

from __future__ import annotations

from pathlib import Path

from flextune.apply.compiled_file import HYBRID_MAGIC, magic_of, read_signature
from flextune.apply.machine import ModelCode
from flextune.apply.own_code import SavedCode
from flextune.apply.signature import Runtime, Signature


def saved_signature(source: Path) -> Signature:
    """What a saved model of any form takes, gives and was made for; UsageError for anything else."""
    if magic_of(source) != HYBRID_MAGIC:
        return read_signature(source)
    from flextune.apply.hybrid_file import HybridFile  # as below

    return HybridFile.read(source).signature


def saved_code(source: Path, runtime: Runtime) -> ModelCode:
    """The model in a library's file. What only some models need is loaded for those."""
    if runtime is Runtime.OWN:
        return SavedCode(source)
    if runtime is Runtime.HYBRID:
        from flextune.apply.hybrid_code import SavedHybridCode  # its parts' runtimes come with ONNX

        return SavedHybridCode(source)
    from flextune.apply.virtual_machine import SavedVirtualMachineCode  # TVM takes seconds to load

    return SavedVirtualMachineCode(source)
