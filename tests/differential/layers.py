"""Random layers: norms, attention, recurrent layers, spectra."""

from __future__ import annotations

import numpy as np

from tests.differential.draw import Draw

CELLS = {"LSTM": (4, 2), "GRU": (3, 1), "RNN": (1, 1)}
"""Operator -> gates, and states besides the output."""


def group_norm(case: Draw) -> None:
    channels = case.shape[1]
    groups = int(case.one_of(1, channels, *(each for each in (2,) if channels % 2 == 0)))
    scales = [case.operand(case.normal(channels)), case.operand(case.normal(channels))]
    case.opset = max(case.opset, 21)
    case.apply("GroupNormalization", *scales, num_groups=groups, epsilon=1e-3)


def rms_norm(case: Draw) -> None:
    axis = case.axis()
    case.opset = max(case.opset, 23)
    case.apply("RMSNormalization", case.operand(case.normal(*case.shape[axis % case.rank :])), axis=axis)


def swish(case: Draw) -> None:
    case.opset = max(case.opset, 24)
    case.apply("Swish", **({"alpha": 1.5} if case.chance() else {}))


def recurrent(operator: str) -> object:
    gates, states = CELLS[operator]

    def draw(case: Draw) -> None:
        steps, batch, size, hidden = 1 + case.below(4), 1 + case.below(3), 1 + case.below(4), 1 + case.below(4)
        direction = str(case.one_of("forward", "reverse", "bidirectional"))
        ways = 2 if direction == "bidirectional" else 1
        layout = case.below(2)
        shape = (batch, steps, size) if layout else (steps, batch, size)
        names = [
            case.input(case.normal(*shape)),
            case.operand(case.normal(ways, gates * hidden, size)),
            case.operand(case.normal(ways, gates * hidden, hidden)),
            case.operand(case.normal(ways, 2 * gates * hidden)) if case.chance() else "",
            case.operand(case.rng.integers(1, steps + 1, batch).astype(np.int32)) if case.chance() else "",
        ]
        state = (batch, ways, hidden) if layout else (ways, batch, hidden)
        names += [case.operand(case.normal(*state)) if case.chance() else "" for _ in range(states)]
        if operator == "LSTM" and case.chance():
            names.append(case.operand(case.normal(ways, 3 * hidden)))
        while not names[-1]:
            names.pop()
        more: dict[str, object] = {"clip": 0.7} if case.below(4) == 0 else {}
        if operator == "GRU":
            more["linear_before_reset"] = case.below(2)
        if operator == "LSTM" and case.below(4) == 0:
            more["input_forget"] = 1
        more |= {"layout": layout} if layout else {}
        case.node(operator, *names, outputs=1 + states, hidden_size=hidden, direction=direction, **more)

    return draw


def attention(case: Draw) -> None:
    batch, heads, rows, columns, size = (1 + case.below(3) for _ in range(5))
    groups = int(case.one_of(1, 2))
    past = case.below(3)
    case.opset = max(case.opset, 23)
    flat = case.chance() and not past
    query = (batch, rows, heads * groups * size) if flat else (batch, heads * groups, rows, size)
    key = (batch, columns, heads * size) if flat else (batch, heads, columns, size)
    names = [case.input(case.normal(*each)) for each in (query, key, key)]
    total = columns + past
    form = case.below(4)
    shape = case.one_of((rows, total), (batch, 1, rows, total), (1, heads * groups, rows, total))
    masks = ["", case.operand(case.normal(*shape)), case.operand(np.asarray(case.rng.random(shape) < 0.7))]
    names.append(masks[form % 3])
    outputs = 1
    if past:
        names += [case.input(case.normal(batch, heads, past, size)) for _ in range(2)]
        outputs = 3
    while not names[-1]:
        names.pop()
    more: dict[str, object] = {"is_causal": case.below(2)}
    if flat:
        more |= {"q_num_heads": heads * groups, "kv_num_heads": heads}
    if case.below(3) == 0:
        more["softcap"] = 2.0
    if case.below(3) == 0:
        more["scale"] = 0.3
    if case.below(3) == 0 and past:
        outputs = 4
        more["qk_matmul_output_mode"] = case.below(4)
    case.node("Attention", *names, outputs=outputs, **more)


def rotary(case: Draw) -> None:
    batch, heads, steps, half = (1 + case.below(3) for _ in range(4))
    size = 2 * half
    case.opset = max(case.opset, 23)
    partial = {"rotary_embedding_dim": size} if case.chance() else {}
    full = size + 2 if partial else size
    flat = case.chance()
    value = case.input(case.normal(*((batch, steps, heads * full) if flat else (batch, heads, steps, full))))
    with_places = case.chance()
    shape = (7, half) if with_places else (batch, steps, half)
    names = [value, case.operand(case.normal(*shape)), case.operand(case.normal(*shape))]
    if with_places:
        names.append(case.operand(case.rng.integers(0, 7, (batch, steps))))
    more = {"num_heads": heads} if flat else {}
    case.node("RotaryEmbedding", *names, interleaved=case.below(2), **partial, **more)


def dft(case: Draw) -> None:
    size = 2 + case.below(6)
    one_sided = case.below(2)
    inverse = 0 if one_sided else case.below(2)
    signal = case.input(case.normal(2, size, 3, 1 if one_sided or case.chance() else 2))
    case.opset = max(case.opset, 20)
    case.node("DFT", signal, "", case.constant(np.array(case.one_of(1, 2, -2))), onesided=one_sided, inverse=inverse)


def windows(case: Draw) -> None:
    operator = str(case.one_of("HannWindow", "HammingWindow", "BlackmanWindow"))
    case.node(operator, case.constant(np.array(2 + case.below(8))), periodic=case.below(2))


def stft(case: Draw) -> None:
    length, frame = 12 + case.below(9), 4 + case.below(4)
    names = [case.input(case.normal(2, length, 1)), case.constant(np.array(1 + case.below(4)))]
    window = case.constant(case.normal(frame)) if case.chance() else ""
    case.node("STFT", *names, window, case.constant(np.array(frame)), onesided=case.below(2))


LAYERS = {
    "Attention": attention,
    "DFT": dft,
    "GRU": recurrent("GRU"),
    "GroupNormalization": group_norm,
    "HannWindow": windows,
    "LSTM": recurrent("LSTM"),
    "RMSNormalization": rms_norm,
    "RNN": recurrent("RNN"),
    "RotaryEmbedding": rotary,
    "STFT": stft,
    "Swish": swish,
}
