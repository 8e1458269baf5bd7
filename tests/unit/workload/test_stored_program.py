"""Programs from files may only compute: ours are accepted, everything else is refused before TVM sees it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import tvm
import tvm_ffi
from tvm import ir, s_tir, tirx

from flextune.errors import UsageError
from flextune.workload import from_prim_func, parse_workload
from flextune.workload.stored_program import MOST_DEPTH, MOST_NODES, check_stored_program
from flextune.workload.stored_types import OPERATIONS
from flextune.workload.workload import program_sha

Graph = dict[str, Any]
"""TVM's JSON: `nodes`, each with `type` and `data`, and the `root_index`."""


@cache
def body_of(text: str = "gemm:m=5,n=6,k=7,epilogue=bias+gelu") -> str:
    body = from_prim_func(parse_workload(text).prim_func(), "example").body
    assert body is not None
    return body


def graph() -> Graph:
    tree: Graph = json.loads(body_of())
    return tree


def node(tree: Graph, kind: str) -> Graph:
    found: Graph = next(each for each in tree["nodes"] if each["type"] == kind)
    return found


def _moved(kind: str, data: Any, moved: Callable[[int], int]) -> Any:
    plain = ("data_alignment", "offset_factor", "ndim", "iter_type", "kind")
    if kind in ("ffi.Array", "ffi.Map"):
        return [moved(item) for item in data]
    if isinstance(data, dict):
        return {
            name: moved(value) if type(value) is int and name not in plain else value for name, value in data.items()
        }
    return data


def moved_by(count: int, tree: Graph) -> list[Graph]:
    """The nodes with room for others before them."""
    return [
        {"type": each["type"], "data": _moved(each["type"], each.get("data"), lambda number: number + count)}
        for each in tree["nodes"]
    ]


def refusal(tree: Graph | str) -> str:
    text = tree if isinstance(tree, str) else json.dumps(tree)
    with pytest.raises(UsageError, match="may only compute") as caught:
        check_stored_program(text)
    workload = parse_workload(f"tir:name=x,sha={program_sha(text)}", text)
    with pytest.raises(UsageError, match="may only compute"):
        workload.prim_func()
    return str(caught.value)


def with_value(value: Callable[[Any], Any]) -> Any:
    """A function of one tensor whose elements become `value(element)`."""
    func = parse_workload("elementwise:shape=4,ops=relu").prim_func()

    def changed(store: Any) -> Any:
        return tirx.BufferStore(store.buffer, value(store.value), store.indices)

    body = tvm_ffi.structural_map(func.body, (tirx.BufferStore, changed))
    return tirx.PrimFunc(func.params, body, attrs=func.attrs)


FOREIGN: dict[str, Callable[[Any], Any]] = {
    "tirx.call_extern": lambda x: x + tirx.call_extern("float32", "system", ir.StringImm("true")),
    "tirx.call_pure_extern": lambda x: tirx.call_pure_extern("float32", "sinf", x),
    "tirx.tvm_call_packed": lambda x: x + tirx.Cast("float32", tirx.call_packed("runtime.SystemLib")),
    "tirx.tvm_call_cpacked": lambda x: x + tirx.Cast("float32", tirx.call_cpacked("runtime.SystemLib")),
    "tirx.call_llvm_pure_intrin": lambda x: tirx.call_llvm_pure_intrin("float32", "llvm.sqrt.f32", x),
    "tirx.call_llvm_intrin": lambda x: tirx.call_llvm_intrin("float32", "llvm.sqrt.f32", x),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_calls_of_foreign_code_are_refused(name: str) -> None:
    func = with_value(FOREIGN[name])
    with pytest.raises(UsageError, match=f"it calls {name}"):
        from_prim_func(func, "foreign")
    assert f"it calls {name}" in refusal(tvm.ir.save_json(func))


def test_every_other_operation_of_tvm_is_refused_by_its_name() -> None:
    others = {*tvm.ir.Op.list_op_names()} - {*OPERATIONS}
    assert len(others) > 500
    for name in others:
        tree = graph()
        node(tree, "ir.Op")["data"] = name
        with pytest.raises(UsageError, match=f"it calls {re.escape(name)}"):
            check_stored_program(json.dumps(tree))


def test_operations_that_no_tvm_knows_are_refused() -> None:
    tree = graph()
    node(tree, "ir.Op")["data"] = "tirx.nothing"
    assert "it calls tirx.nothing" in refusal(tree)


PRAGMAS = ("pragma_import_llvm", "pragma_import_c", "import_llvm", "extern_scope", "compute_scope", "device_id")


@pytest.mark.parametrize("key", PRAGMAS)
def test_pragmas_and_attributes_are_refused(key: str) -> None:
    func = parse_workload("gemm:m=5,n=6,k=7").prim_func()
    body = tirx.AttrStmt(tirx.IntImm("int32", 0), key, ir.StringImm("define void @f() {}"), func.body)
    assert "AttrStmt" in refusal(tvm.ir.save_json(tirx.PrimFunc(func.params, body, attrs=func.attrs)))
    schedule = s_tir.Schedule(func)
    schedule.annotate(schedule.get_loops(schedule.get_sblock("gemm"))[0], key, "define void @f() {}")
    assert f"the attribute '{key}'" in refusal(tvm.ir.save_json(schedule.mod["main"]))
    schedule = s_tir.Schedule(func)
    schedule.annotate(schedule.get_sblock("gemm"), key, "define void @f() {}")
    assert f"the attribute '{key}'" in refusal(tvm.ir.save_json(schedule.mod["main"]))
    assert f"the attribute '{key}'" in refusal(tvm.ir.save_json(func.with_attr({"global_symbol": "main", key: "x"})))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("ffi.Function", "runtime.SystemLib"),
        ("ffi.Module", "AAAA"),
        ("ffi.Bytes", "f0VMRg=="),
        ("ffi.Tensor", "AAAA"),
        ("runtime.Module", {}),
        ("ir.EnvFunc", "runtime.SystemLib"),
        ("ir.GlobalVar", {}),
        ("ir.IRModule", {}),
        ("tirx.Evaluate", {}),
        ("tirx.AssertStmt", {}),
        ("tirx.While", {}),
        ("ffi.OpaquePyObject", 0),
        ("ffi.Error", {}),
        ("Device", [1, 0]),
        ("DataType", "handle"),
        (["ir.Op"], "tirx.exp"),
        (None, None),
    ],
)
def test_objects_that_are_no_part_of_a_program_are_refused(kind: object, data: object) -> None:
    """Also where nothing refers to them: TVM makes every object of a graph."""
    tree = graph()
    tree["nodes"] = [{"type": kind, "data": data}, *moved_by(1, tree)]
    tree["root_index"] += 1
    assert "it holds" in refusal(tree)


def test_constants_are_plain_numbers() -> None:
    for element in ("handle", "float32x4", "custom[x]8", "void", 7):
        tree = graph()
        node(tree, "ir.PrimType")["data"]["dtype"] = element
        refusal(tree)


def test_cycles_and_numbers_of_no_earlier_node_are_refused() -> None:
    for wrong in (-1, 10**9, 2**70, True, 0.0, "0", None, [0]):
        tree = graph()
        node(tree, "ffi.Array")["data"] = [wrong]
        assert "earlier nodes" in refusal(tree)
        tree = graph()
        node(tree, "ir.IntImm")["data"]["value"] = wrong
        assert "value of ir.IntImm" in refusal(tree)
    for position, each in enumerate(graph()["nodes"]):
        if each["type"] == "prim.Add":
            tree = graph()
            tree["nodes"][position]["data"]["a"] = position
            assert "a of prim.Add" in refusal(tree)


def chained(length: int, shared: bool) -> Graph:
    """The program of an operator with a sum of so many terms, or one that is doubled so many times."""
    tree = graph()
    nodes = tree["nodes"]
    position = next(index for index, each in enumerate(nodes) if each["type"] == "tirx.BufferStore")
    store = nodes[position]["data"]
    first = store["value"]
    kind = nodes[first]["data"]["ty"]
    last, links = first, []
    for index in range(length):
        links.append({"type": "prim.Add", "data": {"span": 0, "ty": kind, "a": last, "b": last if shared else first}})
        last = position + index

    def moved(number: int) -> int:
        return number + length if number >= position else number

    later = [json.loads(json.dumps(each)) for each in nodes[position:]]
    for each in later:
        each["data"] = _moved(each["type"], each.get("data"), moved)
    later[0]["data"]["value"] = last
    return {"root_index": tree["root_index"] + length, "nodes": [*nodes[:position], *links, *later]}


def test_deep_programs_are_refused_and_less_deep_ones_work() -> None:
    assert "deep" in refusal(chained(100_000 - 1000, shared=False))
    assert "deep" in refusal(chained(MOST_DEPTH, shared=False))
    text = json.dumps(chained(MOST_DEPTH - 40, shared=False))
    workload = parse_workload(f"tir:name=x,sha={program_sha(text)}", text)
    assert workload.flops > MOST_DEPTH
    workload.reference(workload.random_inputs(0))


def test_programs_that_share_too_much_are_refused() -> None:
    """A sum that is doubled 60 times has few nodes, and a visit of every use of them never ends."""
    assert "written out" in refusal(chained(60, shared=True))


def test_texts_that_are_too_long_are_refused() -> None:
    tree = graph()
    tree["nodes"] = [{"type": "None"}] * (MOST_NODES + 1)
    assert "nodes" in refusal(tree)
    assert "characters" in refusal(body_of() + " " * (8 << 20))
    assert "not TVM's JSON" in refusal("[" * 100_000)


def test_types_that_do_not_fit_are_refused() -> None:
    """TVM checks them where it makes an expression, not where it reads one."""
    changes: tuple[tuple[str, str, str], ...] = (
        ("ir.FloatImm", "ty", "int32"),
        ("ir.IntImm", "ty", "float32"),
        ("ir.TensorLoad", "ty", "int8"),
        ("prim.Add", "ty", "uint16"),
        ("ir.Call", "ty", "bool"),
    )
    for kind, field, element in changes:
        tree = graph()
        nothing, element_type = {"type": "None"}, {"type": "ir.PrimType", "data": {"span": 0, "dtype": element}}
        tree["nodes"] = [nothing, element_type, *moved_by(2, tree)]
        tree["root_index"] += 2
        node(tree, kind)["data"][field] = 1
        assert "other types" in refusal(tree)


MUTATE = """
import json, random, sys
from flextune.errors import FlextuneError
from flextune.workload import parse_workload
from flextune.workload.workload import program_sha

body, seed, count = sys.stdin.read(), int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
accepted = 0
for _ in range(count):
    tree = json.loads(body)
    nodes = tree["nodes"]
    for _ in range(rng.choice((1, 1, 2, 5))):
        node = rng.choice(nodes)
        data = node.get("data")
        match rng.randrange(6):
            case 0:
                node["type"] = rng.choice(nodes)["type"]
            case 1:
                node["data"] = rng.choice(nodes).get("data")
            case 2 if isinstance(data, dict):
                data[rng.choice(list(data))] = rng.choice((rng.randrange(len(nodes)), -1, 2**40, None, "x", 1.5))
            case 3 if isinstance(data, list) and data:
                data[rng.randrange(len(data))] = rng.randrange(len(nodes))
            case 4 if isinstance(data, list):
                rng.choice((data.clear, lambda: data.append(rng.randrange(len(nodes)))))()
            case 5:
                node["data"] = rng.choice((0, 1, -(2**63), 2**31, "", "main", None, True, {}, []))
    text = json.dumps(tree)
    workload = parse_workload(f"tir:name=x,sha={program_sha(text)}", text)
    try:
        workload.prim_func().script()
        assert workload.flops >= 0
        workload.inputs, workload.outputs, workload.tolerance(), workload.dtype
        accepted += 1
    except FlextuneError:
        pass
print(accepted)
"""


@pytest.mark.parametrize("seed", range(4))
def test_changed_bodies_are_programs_or_refused_but_never_crash(seed: int) -> None:
    text = random.Random(seed).choice(
        ("gemm:m=5,n=6,k=7,epilogue=bias+gelu", "softmax:rows=3,cols=5", "pool2d:kind=avg,h=5,w=5,c=1,kh=3,kw=3,pad=1")
    )
    done = subprocess.run(
        [sys.executable, "-c", MUTATE, str(seed), "150"], input=body_of(text), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 150
