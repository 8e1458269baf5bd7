"""PyTorch's door: `torch.compile` with flextune's backend, and the same module as one library.

python examples/from_torch.py --minutes 0.2

Needs `pip install 'flextune[torch]'`.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn

import flextune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="time for tuning; 0: default schedules")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 10)).eval()
    x = torch.randn(4, 64)
    with torch.no_grad():
        expected = module(x)
        fast = torch.compile(module, backend="flextune", options={"minutes": arguments.minutes})
        print(f"torch.compile: largest difference from PyTorch {(fast(x) - expected).abs().max().item():.1e}")

    executable = flextune.optimize(module, arguments.minutes, example_inputs=(x,))
    inputs = {spec.name: x.numpy() for spec in executable.inputs}
    (found,) = executable.run(inputs).values()
    print(f"flextune.optimize: largest difference {(torch.from_numpy(found) - expected).abs().max().item():.1e}")
    executable.save("from_torch.so")
    print("from_torch.so: runs without PyTorch, TVM and Python")


if __name__ == "__main__":
    main()
