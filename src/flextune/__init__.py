"""flextune: an autotuning compiler stack for tensor programs.

Everything here is loaded on first use, so that `import flextune` stays light.

>>> import flextune
>>> executable = flextune.optimize("model.onnx", minutes=2)   # doctest: +SKIP
>>> executable = flextune.load("model.so")                    # doctest: +SKIP
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from flextune.imports import Hiding

if TYPE_CHECKING:
    from flextune.apply.build import compile_model
    from flextune.apply.executable import load_executable as load
    from flextune.cli.notebook import NotebookView
    from flextune.compat.flexdsa import FlexDSAOptimizer
    from flextune.csp.parameters import Parameter
    from flextune.database.store import open_database
    from flextune.importing.model import load_model
    from flextune.importing.torch_export import from_torch
    from flextune.interface import optimize, tune
    from flextune.measure.command import Command
    from flextune.plan.partition import partition_model
    from flextune.target.detect import detect
    from flextune.tuning.ask_tell import Search
    from flextune.tuning.budget import Budget
    from flextune.tuning.minimize import minimize
    from flextune.tuning.search_options import SearchOptions
    from flextune.workload.parse import parse_workload

__version__ = "0.1.0"

# TVM would load torch for a convenience, also in processes that need none: seconds and hundreds of megabytes
sys.meta_path.insert(0, Hiding({"tvm": "torch", "tvm_ffi": "torch"}))

_EXPORTS = {
    "Budget": "flextune.tuning.budget:Budget",
    "Command": "flextune.measure.command:Command",
    "FlexDSAOptimizer": "flextune.compat.flexdsa:FlexDSAOptimizer",
    "NotebookView": "flextune.cli.notebook:NotebookView",
    "Parameter": "flextune.csp.parameters:Parameter",
    "Search": "flextune.tuning.ask_tell:Search",
    "SearchOptions": "flextune.tuning.search_options:SearchOptions",
    "compile_model": "flextune.apply.build:compile_model",
    "detect": "flextune.target.detect:detect",
    "from_torch": "flextune.importing.torch_export:from_torch",
    "load": "flextune.apply.executable:load_executable",
    "load_model": "flextune.importing.model:load_model",
    "minimize": "flextune.tuning.minimize:minimize",
    "open_database": "flextune.database.store:open_database",
    "optimize": "flextune.interface:optimize",
    "parse_workload": "flextune.workload.parse:parse_workload",
    "partition_model": "flextune.plan.partition:partition_model",
    "tune": "flextune.interface:tune",
}

__all__ = [
    "Budget",
    "Command",
    "FlexDSAOptimizer",
    "NotebookView",
    "Parameter",
    "Search",
    "SearchOptions",
    "__version__",
    "compile_model",
    "detect",
    "from_torch",
    "load",
    "load_model",
    "minimize",
    "open_database",
    "optimize",
    "parse_workload",
    "partition_model",
    "tune",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'flextune' has no attribute {name!r}; it has {', '.join(sorted(_EXPORTS))}")
    module, _, attribute = _EXPORTS[name].partition(":")
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
