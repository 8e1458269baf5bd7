"""What the builder of statements leaves behind."""

from __future__ import annotations

import tvm_ffi
from tvm import tirx

from flextune.tvm_types import Statement

_SCOPE = "pragma_scope"


def without_scopes(body: Statement) -> Statement:
    """Without the marks of the builder's scopes: LLVM's code generator warns of every one."""
    return tvm_ffi.structural_map(body, (tirx.AttrStmt, lambda node: node.body if node.attr_key == _SCOPE else node))
