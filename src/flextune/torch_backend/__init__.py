"""The backend of `torch.compile(module, backend="flextune")`, for inference.

A graph that PyTorch has captured becomes a model with its weights as constants, is built with the best recorded
schedules, and is compared with the captured graph before it is used. Whatever cannot be taken, or goes wrong, runs in
PyTorch as it is, and a warning says why; `graphs()` lists what became of each graph.
"""

from flextune.torch_backend.backend import compile_graph
from flextune.torch_backend.backend_options import BackendOptions
from flextune.torch_backend.journal import GraphEntry, graphs

__all__ = ["BackendOptions", "GraphEntry", "compile_graph", "graphs"]
