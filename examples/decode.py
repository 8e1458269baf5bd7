"""Text generation with a key-value cache: one library runs every step, whatever the length of the past.

    python examples/decode.py --model llama --steps 200

A cache is one buffer for each layer's keys and one for its values, with a row for each token. A step reads the rows
there are, as an input whose length is a size that changes from step to step, and the library writes the new token's
row behind them: nothing is copied, moved or packed again. The prompt is read by the same steps. The models have random
weights; the tokens are compared with those of PyTorch, and the time of a step with that of PyTorch (eager, and compiled
by inductor) and ONNX Runtime, in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

import flextune


@dataclass(frozen=True)
class Sizes:
    """Of a decoder. Several heads of queries share one of keys and values where `kv_heads` is smaller than `heads`."""

    layers: int = 6
    width: int = 512
    heads: int = 8
    kv_heads: int = 4
    hidden: int = 1408
    vocabulary: int = 8192
    longest: int = 256

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def row(self) -> tuple[int, int]:
        """The shape of a token's row in a cache."""
        return self.kv_heads, self.head


LLAMA = Sizes()
GPT = Sizes(heads=8, kv_heads=8, hidden=2048)
TINY = Sizes(layers=2, width=32, heads=4, kv_heads=2, hidden=48, vocabulary=64, longest=32)

Attention = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""Of a query with key and value of a token, and the keys and values of the past."""


def attend(query: Tensor, key: Tensor, value: Tensor, past_keys: Tensor, past_values: Tensor) -> Tensor:
    """One token's query [kv_heads, group, head] over the past [length, kv_heads, head] and the token itself.

    The past and the token are looked at apart, so the cache is only read; the softmax is over both.
    """
    query = query * query.shape[-1] ** -0.5
    scores, own = query @ past_keys.permute(1, 2, 0), query @ key.permute(1, 2, 0)
    largest = torch.cat([scores, own], -1).amax(-1, keepdim=True)
    weights, own_weight = (scores - largest).exp(), (own - largest).exp()
    mixed = weights @ past_values.transpose(0, 1) + own_weight * value.transpose(0, 1)
    return mixed / (weights.sum(-1, keepdim=True) + own_weight)


class RootMeanSquareNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * self.weight


class LlamaLayer(nn.Module):
    """Grouped-query attention with rotary positions, and a gated multilayer perceptron (SwiGLU)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes, self.attend = sizes, attend
        kv_width = sizes.kv_heads * sizes.head
        self.norm, self.inner_norm = RootMeanSquareNorm(sizes.width), RootMeanSquareNorm(sizes.width)
        self.query = nn.Linear(sizes.width, sizes.width, bias=False)
        self.key, self.value = (nn.Linear(sizes.width, kv_width, bias=False) for _ in range(2))
        self.out = nn.Linear(sizes.width, sizes.width, bias=False)
        self.gate, self.up = (nn.Linear(sizes.width, sizes.hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(sizes.hidden, sizes.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kv_heads, head = self.sizes.row
        normed = self.norm(x)
        query = rotated(self.query(normed).view(kv_heads, -1, head), turn)
        key = rotated(self.key(normed).view(1, kv_heads, head), turn)
        value = self.value(normed).view(1, kv_heads, head)
        x = x + self.out(self.attend(query, key, value, keys, values).reshape(1, -1))
        normed = self.inner_norm(x)
        return x + self.down(nn.functional.silu(self.gate(normed)) * self.up(normed)), key, value


def rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs (i, i + head / 2) of the last axis, turned by the angles whose cosines and sines `turn` has."""
    low, high = x.chunk(2, -1)
    return x * turn[0] + torch.cat([-high, low], -1) * turn[1]


class GptLayer(nn.Module):
    """Attention and a multilayer perceptron, each behind a layer normalisation, with biases."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes, self.attend = sizes, attend
        self.norm, self.inner_norm = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
        self.project = nn.Linear(sizes.width, 3 * sizes.width)
        self.out = nn.Linear(sizes.width, sizes.width)
        self.inner, self.outer = nn.Linear(sizes.width, sizes.hidden), nn.Linear(sizes.hidden, sizes.width)

    def forward(self, x: Tensor, _: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = self.project(self.norm(x)).view(3, 1, *self.sizes.row).unbind(0)
        mixed = self.attend(query.view(self.sizes.kv_heads, 1, -1), key, value, keys, values)
        x = x + self.out(mixed.reshape(1, -1))
        inner = nn.functional.gelu(self.inner(self.inner_norm(x)), approximate="tanh")
        return x + self.outer(inner), key, value


class Decoder(nn.Module):
    """One step: a token and its position, with all layers' past keys and values, to scores of the next token and the
    new rows of the caches, in the order of the pasts."""

    def __init__(self, sizes: Sizes, layer: Callable[[Sizes], nn.Module]) -> None:
        super().__init__()
        self.sizes = sizes
        self.is_rotary = layer is LlamaLayer
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.layers = nn.ModuleList(layer(sizes) for _ in range(sizes.layers))
        self.norm = RootMeanSquareNorm(sizes.width) if self.is_rotary else nn.LayerNorm(sizes.width)
        self.scores = nn.Linear(sizes.width, sizes.vocabulary, bias=False)
        angles = torch.arange(sizes.longest)[:, None] * 10000.0 ** (-torch.arange(0, sizes.head, 2) / sizes.head)
        angles = torch.cat([angles, angles], -1)
        self.register_buffer("turns", torch.stack([angles.cos(), angles.sin()], 1))
        self.positions = None if self.is_rotary else nn.Embedding(sizes.longest, sizes.width)

    def forward(self, token: Tensor, position: Tensor, *pasts: Tensor) -> tuple[Tensor, ...]:
        x = self.tokens(token)
        if self.positions is not None:
            x = x + self.positions(position)
        turn = self.turns[position][0][:, None]
        rows: list[Tensor] = []
        for layer, keys, values in zip(self.layers, pasts[::2], pasts[1::2], strict=True):
            x, key, value = layer(x, turn, keys, values)
            rows += [key, value]
        return self.scores(self.norm(x)), *rows


def attend_joined(query: Tensor, key: Tensor, value: Tensor, past_keys: Tensor, past_values: Tensor) -> Tensor:
    """As `attend`, by PyTorch's own attention over the past and the token joined: what suits PyTorch better."""
    keys, values = (torch.cat(pair).transpose(0, 1) for pair in ((past_keys, key), (past_values, value)))
    return nn.functional.scaled_dot_product_attention(query[None], keys[None], values[None])[0]


KINDS: dict[str, tuple[Sizes, Callable[[Sizes], nn.Module]]] = {"llama": (LLAMA, LlamaLayer), "gpt": (GPT, GptLayer)}
FORMS: dict[str, Attention] = {"apart": attend, "joined": attend_joined}


def decoder(kind: str, sizes: Sizes | None = None, form: str = "apart") -> Decoder:
    """A decoder with random weights, the same for all forms of attention."""
    usual, layer = KINDS[kind]
    torch.manual_seed(0)
    made = Decoder(sizes or usual, layer).eval()
    for each in made.layers:
        each.attend = FORMS[form]
    return made


def example_arguments(sizes: Sizes, length: int = 5) -> tuple[Tensor, ...]:
    """Arguments of a step behind so many tokens."""
    return (
        torch.tensor([1]),
        torch.tensor([length]),
        *(torch.zeros(length, *sizes.row) for _ in range(2 * sizes.layers)),
    )


def built(module: Decoder) -> flextune.Executable:
    """The library of a step, for every length of the past up to the longest."""
    past = torch.export.Dim("past", min=0, max=module.sizes.longest - 1)
    arguments = example_arguments(module.sizes)
    shapes = (None, None, tuple({0: past} for _ in arguments[2:]))
    return flextune.optimize(module, minutes=0, example_inputs=arguments, dynamic_shapes=shapes, only_own=True)


class Runner:
    """Generates tokens. A subclass runs a step, which leaves the token's rows in the caches."""

    def __init__(self, sizes: Sizes) -> None:
        count, shape = 2 * sizes.layers, (sizes.longest, *sizes.row)
        self.caches = [torch.zeros(shape) for _ in range(count)]  # at multiples of 64 bytes, as the library reads them
        self.arrays = [cache.numpy() for cache in self.caches]

    def scores(self, token: int, position: int) -> np.ndarray:
        raise NotImplementedError

    def generate(self, prompt: Sequence[int], steps: int) -> list[int]:
        """So many tokens behind a prompt, the likeliest each."""
        tokens = list(prompt)
        for position in range(len(prompt) + steps - 1):
            found = int(self.scores(tokens[position], position).argmax())
            if position >= len(prompt) - 1:
                tokens.append(found)
        return tokens[len(prompt) :]


class InFlextune(Runner):
    def __init__(self, sizes: Sizes, executable: flextune.Executable) -> None:
        super().__init__(sizes)
        self.executable = executable
        self.token, self.position, *self.pasts = (spec.name for spec in executable.inputs)
        self.found, *self.rows = (spec.name for spec in executable.outputs)

    def scores(self, token: int, position: int) -> np.ndarray:
        pasts = {name: array[:position] for name, array in zip(self.pasts, self.arrays, strict=True)}
        rows = {name: array[position : position + 1] for name, array in zip(self.rows, self.arrays, strict=True)}
        given = {self.token: np.array([token]), self.position: np.array([position])} | pasts
        return self.executable.run(given, rows)[self.found]


class InPyTorch(Runner):
    """Eager, or as `torch.compile` makes it."""

    def __init__(self, module: Decoder, compiled: bool) -> None:
        super().__init__(module.sizes)
        self.step = torch.compile(module, dynamic=True) if compiled else module

    @torch.no_grad()
    def scores(self, token: int, position: int) -> np.ndarray:
        pasts = [cache[:position] for cache in self.caches]
        found, *rows = self.step(torch.tensor([token]), torch.tensor([position]), *pasts)
        for cache, row in zip(self.caches, rows, strict=True):
            cache[position] = row[0]
        return found.numpy()


class InOnnxRuntime(Runner):
    def __init__(self, module: Decoder, threads: int) -> None:
        import onnxruntime  # not everybody has it

        super().__init__(module.sizes)
        arguments = example_arguments(module.sizes)
        past = torch.export.Dim("past", min=0, max=module.sizes.longest - 1)
        shapes = (None, None, tuple({0: past} for _ in arguments[2:]))
        program = torch.onnx.export(module, arguments, dynamo=True, dynamic_shapes=shapes, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options)
        self.names = [each.name for each in self.session.get_inputs()]

    def scores(self, token: int, position: int) -> np.ndarray:
        given = [np.array([token]), np.array([position]), *(array[:position] for array in self.arrays)]
        found, *rows = self.session.run(None, dict(zip(self.names, given, strict=True)))
        for array, row in zip(self.arrays, rows, strict=True):
            array[position] = row[0]
        return found


def runners(kind: str, executable: flextune.Executable, sizes: Sizes | None = None) -> dict[str, Runner]:
    """flextune and its peers, each of these with both forms of attention."""
    found: dict[str, Runner] = {}
    for form in FORMS:
        module = decoder(kind, sizes, form)
        found.setdefault("flextune", InFlextune(module.sizes, executable))
        found[f"PyTorch, {form}"] = InPyTorch(module, compiled=False)
        found[f"inductor, {form}"] = InPyTorch(module, compiled=True)
        found[f"ONNX Runtime, {form}"] = InOnnxRuntime(module, executable.threads)
    return found


def tokens_per_sec(runners: dict[str, Runner], steps: int, rounds: int) -> dict[str, float]:
    """Of each runner, the median of rounds in which all take turns with generating so many tokens."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for runner in runners.values():
        runner.generate([1, 2, 3], 3)
    for _ in range(rounds):
        for name, runner in runners.items():
            began = time.perf_counter()
            runner.generate([1, 2, 3], steps)
            times[name].append(time.perf_counter() - began)
    return {name: (steps + 2) / median(each) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=KINDS, default="llama")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand weights")
    parser.add_argument("--library", help="the library of the step: loaded if it is there, else built and written")
    parser.add_argument("--alone", action="store_true", help="compare with PyTorch's tokens only, and take no times")
    given = parser.parse_args()
    usual, layer = KINDS[given.model]
    tiny = TINY if layer is LlamaLayer else replace(TINY, kv_heads=TINY.heads)
    sizes = tiny if given.tiny else usual
    executable = library(decoder(given.model, sizes), given.library)
    steps = min(given.steps, sizes.longest - 3)
    torch.set_num_threads(executable.threads)
    mine = InFlextune(sizes, executable).generate([1, 2, 3], steps)
    theirs = InPyTorch(decoder(given.model, sizes), compiled=False).generate([1, 2, 3], steps)
    print(
        f"{given.model}: {steps} tokens, {'the same as' if mine == theirs else 'OTHER than'} PyTorch's: {mine[:8]} ..."
    )
    if mine != theirs:
        raise SystemExit(1)
    if not given.alone:
        for name, speed in tokens_per_sec(runners(given.model, executable, sizes), steps, given.rounds).items():
            print(f"  {name:<24} {speed:8.1f} tokens/s")


def library(module: Decoder, path: str | None) -> flextune.Executable:
    """The step's library from a file, which is written if there is none."""
    if path is not None and Path(path).exists():
        return flextune.load(path)
    executable = built(module)
    if path is not None:
        executable.save(path)
    return executable


if __name__ == "__main__":
    main()
