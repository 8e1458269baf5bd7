"""The Shape Tracker on small models: sizes that data decide, control flow, arithmetic, ranges, and what it refuses."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.errors import UsageError
from flextune.importing.shapes.names import input_shapes
from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracker import track_shapes
from flextune.workload.dim import parse_dims


def tracked(graph: str, *ranges: str, opset: int = 18, **constants: np.ndarray) -> ShapeTable:
    """What is known of the tensors of a model in ONNX's text form."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> agraph {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return track_shapes(model, {dim.name: dim for dim in parse_dims(ranges)})


@pytest.mark.parametrize(
    ("graph", "shape", "most"),
    [
        ("(float[h, w] x) => (y) { y = NonZero(x) }", "[2, y_size]", "h*w"),
        ("(float[h, w] x, bool[k] c) => (y) { y = Compress <axis = 1> (x, c) }", "[h, y_size]", "min(k, w)"),
        ("(float[h, w] x) => (y) { y = Unique(x) }", "[y_size]", "h*w"),
        ("(float[b, n, 4] x, float[b, c, n] s, int64 k) => (y) { y = NonMaxSuppression(x, s, k) }",
         "[y_size, 3]", "b*c*n"),
        ("(int64 a, int64 b, int64 c) => (y) { y = Range(a, b, c) }", "[y_size]", None),
        ("(float[n] x, int64[1] k) => (y, i) { y, i = TopK(x, k) }", "[y_size]", "n"),
        ("(float[n] x, int64[1] a, int64[1] b) => (y) { y = Slice(x, a, b) }", "[y_size]", "n"),
    ],
)  # fmt: skip
def test_data_decide_sizes(graph: str, shape: str, most: str | None) -> None:
    table = tracked(graph)
    assert table.text("y") == shape
    (decided,) = table.decided
    assert (None if decided.most is None else str(decided.most)) == most
    assert not table.problems


def test_a_size_that_data_decide_goes_on_and_has_a_range() -> None:
    graph = "(float[h, 4] x) => (z) { y = NonZero(x) t = Transpose(y) z = Concat <axis = 0> (t, t) }"
    table = tracked(graph, "h=1..10")
    assert table.text("z") == "[2*y_size, 2]"
    assert str(table.dims["y_size"]) == "y_size=0..40"
    assert tracked(graph, "h=1..10", "y_size=0..5").dims["y_size"].hi == 5
    assert tracked(graph, "h=1..10", "y_size=3").text("z") == "[6, 2]"


def test_branches() -> None:
    table = tracked("""(float[n, m] x, bool c) => (y, z) {
        y, z = If(c) <then_branch = g1 () => (a, b) { a = Relu(x) b = Concat <axis = 0> (x, x) },
                      else_branch = g2 () => (d, e) { d = Neg(x) e = Abs(x) }>
    }""")
    assert table.text("y") == "[n, m]"
    assert table.text("z") == "[z_size, m]"
    assert str(table.decided[0].most) == "2*n"


def test_a_known_branch_is_the_only_one() -> None:
    table = tracked("""(float[n, 1] x) => (y) {
        s = Shape <start = 1> (x)  one = Constant <value_ints = [1]> ()  c = Equal(s, one)
        y = If(c) <then_branch = g1 () => (a) { a = Squeeze(x, one) }, else_branch = g2 () => (b) { b = Relu(x) }>
    }""")
    assert table.text("y") == "[n]"


LOOP = """(float[n, 3] x, int64 m) => (last, all) {{
    yes = Constant <value = bool {{1}}> ()
    {count}
    last, all = Loop(trips, yes, x) <body = g (int64 i, bool c, float[q, 3] v) => (go, w, r) {{
        go = Identity(c)  w = {step}  r = ReduceSum(v)
    }}>
}}"""


@pytest.mark.parametrize(
    ("count", "step", "last", "collected"),
    [
        ("trips = Identity(m)", "Relu(v)", "[n, 3]", "[last_size, 1, 1]"),
        ("trips = Constant <value_int = 5> ()", "Relu(v)", "[n, 3]", "[last_size, 1, 1]"),
        ("s = Shape(x) z = Constant <value_int = 0> () trips = Gather(s, z)", "Relu(v)", "[n, 3]", "[last_size, 1, 1]"),
    ],
)
def test_a_loop_that_a_condition_may_end(count: str, step: str, last: str, collected: str) -> None:
    table = tracked(LOOP.format(count=count, step=step))
    assert table.text("last") == last
    assert table.text("all") == collected


def test_a_loop_that_grows_what_it_carries() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["go"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])),
            helper.make_node("Concat", ["v", "x"], ["w"], axis=0),
            helper.make_node("Identity", ["x"], ["r"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["q", 3]),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("r", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "", "x"], ["last", "all"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("last", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(5, np.int64), "trips")],
    )
    table = track_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert table.text("last") == "[6*n, 3]"
    assert table.text("all") == "[5, n, 3]"


def test_scan() -> None:
    table = tracked("""(float[b, h] s, float[t, b, 4] x) => (last, all) {
        last, all = Scan <num_scan_inputs = 1, scan_output_axes = [1], body = g (float[b, h] v, float[b, 4] q) => (w, r)
        {
            w = Identity(v)  r = Concat <axis = 1> (v, q)
        }> (s, x)
    }""")
    assert table.text("last") == "[b, h]"
    assert table.text("all") == "[b, t, h + 4]"


def test_sequences() -> None:
    table = tracked("""(float[n, m] x, float[n, k] y) => (z, l, p) {
        s = SequenceConstruct(x, y)  z = ConcatFromSequence <axis = 1> (s)  l = SequenceLength(s)
        one = Constant <value_int = 1> ()  p = SequenceAt(s, one)
    }""")
    assert table.text("z") == "[n, k + m]"
    assert table.text("p") == "[n, k]"
    assert [str(each) for each in table.elements("l") or ()] == ["2"]


@pytest.mark.parametrize(
    ("nodes", "elements"),
    [
        ("y = Identity(s)", "n m"),
        ("y = Slice(s, zero, one)", "n"),
        ("t = Mul(s, two) y = Div(t, four)", "n//2 m//2"),
        ("f = Cast <to = 1> (s) h = Constant <value_float = 0.5> () p = Mul(f, h) q = Ceil(p) y = Cast <to = 7> (q)",
         "(n + 1)//2 (m + 1)//2"),
        ("f = Cast <to = 1> (s) d = Constant <value_float = 3.0> () p = Div(f, d) q = Floor(p) y = Cast <to = 7> (q)",
         "n//3 m//3"),
        ("y = ReduceProd(s, zero)", "m*n"),
        ("c = Equal(s, zero) y = Where(c, one, s)", "n m"),
        ("m = Max(s, four) y = Min(m, four)", "4 4"),
        ("y = Concat <axis = 0> (s, four)", "n m 4"),
        ("a = Sub(s, four) y = Neg(a)", "-n + 4 -m + 4"),
        ("a, y = Split(s, ones)", "m"),
        ("u = Unsqueeze(s, zero) y = Tile(u, tiles)", "n m n m"),
    ],
)  # fmt: skip
def test_elements_are_followed(nodes: str, elements: str) -> None:
    constants = {name: np.array([value]) for name, value in {"zero": 0, "one": 1, "two": 2, "four": 4}.items()}
    table = tracked(
        f"(float[n, m] x) => (y) {{ s = Shape(x) {nodes} }}", **constants, ones=np.array([1, 1]), tiles=np.array([1, 2])
    )
    assert " ".join(map(str, table.elements("y") or ())) == elements


def test_floats_that_are_rounded_are_not_followed() -> None:
    graph = """(float[n, m] x) => (y) {
        s = Shape(x) f = Cast <to = 1> (s) third = Constant <value_float = 0.3> () p = Mul(f, third) q = Floor(p)
        k = Cast <to = 7> (q) y = Expand(z, k) }"""
    table = tracked(graph, z=np.zeros(1, np.float32))
    assert table.elements("k") is None
    assert table.text("y") == "[y_size, y_size_1]"


def test_the_trip_of_a_resize() -> None:
    graph = "(float[n, 3, h, w] x) => (y) { y = Resize(x, , s) }"
    assert tracked(graph, s=np.array([1, 1, 2, 0.5], np.float32)).text("y") == "[n, 3, 2*h, w//2]"
    problems = tracked(graph, s=np.array([1, 1, 2, 0.3], np.float32)).problems
    assert "use sizes instead of scales" in str(problems[0])


def test_ranges_decide() -> None:
    graph = "(float[n, m] x) => (y, z) { y = Slice(x, zero, top, zero) z = Add(y, x) }"
    constants = {"zero": np.array([0]), "top": np.array([64])}
    assert tracked(graph, "n=1..64", **constants).text("y") == "[n, m]"
    assert tracked(graph, "n=64..100", **constants).text("y") == "[64, m]"
    assert tracked(graph, **constants).text("y") == "[min(64, n), m]"
    fixed = tracked("(float[n, m] x) => (y) { y = Concat <axis = 0> (x, x) }", "n=3..3", "m=0..7")
    assert fixed.text("y") == "[6, m]"


def test_a_pyramid_whose_maps_fit_at_multiples() -> None:
    graph = """(float[n, 1, h, 32] x) => (y) {
        a = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)
        b = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (a)
        c = Resize(b, , s)  y = Add(a, c)
    }"""
    scales = np.array([1, 1, 2, 2], np.float32)
    open_ended = tracked(graph, "h=1..100", s=scales)
    (demand,) = open_ended.demands
    assert [height for height in range(1, 13) if demand.holds({"h": height})] == [1, 2, 3, 4, 7, 8, 11, 12]
    fitting = tracked(graph, "h=4..100:4", s=scales)
    assert not fitting.demands
    assert fitting.text("y") == "[n, 1, 2*(h//4), 16]"


def test_demands() -> None:
    table = tracked("(float[a, k] x, float[l, b] w) => (y) { y = MatMul(x, w) }", "k=1..9", "l=1..9")
    assert table.text("y") == "[a, b]"
    (demand,) = table.demands
    assert demand.holds({"k": 3, "l": 3})
    assert not demand.holds({"k": 3, "l": 4})
    (shrunk,) = tracked("(float[n, 3, h, h] x, float[8, 3, 5, 5] w) => (y) { y = Conv(x, w) }").demands
    assert str(shrunk).startswith("h - 4 >= 0: a size of Conv")


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("(float[a, 3] x, float[4, b] w) => (y) { y = MatMul(x, w) }", "3 and 4 must be the same size"),
        ("(float[a] x) => (y) { y = unknown.Thing(x) }", "there is no shape rule for the operator unknown::Thing"),
        ("(float[a, b] x) => (y) { y = Squeeze(x) }", "a may be 1: name the axes"),
        ("(float[a, b] x, int64[k] s) => (y) { y = Reshape(x, s) }", "the rank of its result is not known"),
        ("(float[a, b] x) => (y) { y = Transpose <perm = [0, 2]> (x) }", "the order (0, 2) is none of 2 dimensions"),
        ("(float[a, b] x) => (y) { y = Concat <axis = 3> (x, x) }", "axis 3 is none of a tensor with 2 dimensions"),
        ("(float[a] x) => (y) { y = Conv(x, x) }", "do not fit together"),
    ],
)
def test_what_cannot_be_followed_is_named_once(graph: str, words: str) -> None:
    text = graph.replace(" }", " z = Relu(y) q = MatMul(z, z) }")
    if "unknown" in graph:
        node = helper.make_node("Thing", ["x"], ["y"], domain="unknown", name="it")
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a"])]
        model = helper.make_model(helper.make_graph([node, helper.make_node("Relu", ["y"], ["z"])], "g", inputs, []))
        table = track_shapes(model)
    else:
        table = tracked(text)
    (problem,) = table.problems
    assert words in str(problem)
    assert table.text("z") == "?"


def test_a_range_of_a_name_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="the model has no size 'sequence'"):
        tracked("(float[seq] x) => (y) { y = Relu(x) }", "sequence=1..4")


def test_names_of_sizes() -> None:
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["past", "seq", "past + seq", "my size", "my-size", 3]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["seq", None, "other + seq"]),
        helper.make_tensor_value_info("c", TensorProto.FLOAT, None),
    ]
    found = input_shapes(inputs)
    assert found["c"] is None
    assert [str(size) for size in found["a"] or ()] == ["past", "seq", "past + seq", "my_size", "my_size_1", "3"]
    assert [str(size) for size in found["b"] or ()] == ["seq", "b_1", "other_seq"]


def test_a_static_model_has_numbers() -> None:
    table = tracked("(float[0, 3] x) => (y) { y = Concat <axis = 0> (x, x) }")
    assert table.text("y") == "[0, 3]"
    assert not table.dims
