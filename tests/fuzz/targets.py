"""What is fed with damaged input, each with good input to start from and what reads it."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import random
import sqlite3
import subprocess
import sys
import zlib
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import flextune
from flextune.apply.compiled_file import MAGIC, TRAILER
from flextune.cli.main import main
from flextune.cli.minimize_spec import read_spec
from flextune.compat.any_model import model_of
from flextune.compat.heron import case_workload, read_config
from flextune.csp.parameter_space import ParameterSpace
from flextune.database.store import open_database
from flextune.errors import EnvironmentFault
from flextune.tuning.minimize import minimize
from flextune.workload.parse import parse_workload
from tests.fuzz.mutation import damaged_bytes, damaged_json, damaged_text, json_bytes

ROOT = Path(__file__).parents[2]
_BUILT_ELEMENTS = 10_000
"""Of the largest tensor of a workload that is built and computed."""


class FuzzTarget(ABC):
    """Makes one input after the other, and reads them as a user's command would."""

    name: str
    suffix = ".json"

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Make good input; files that are needed go to `folder`."""

    @abstractmethod
    def damaged(self, rng: random.Random) -> bytes: ...

    @abstractmethod
    def read(self, path: Path) -> int:
        """Read an input, raising what the reader raises; the exit code where the reader is a command."""


def command(*words: object) -> int:
    """The exit code of a command of flextune. RuntimeError with its message for one that blames itself."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            main([str(word) for word in words])
    except SystemExit as end:
        if "internal error" in errors.getvalue() or end.code not in (0, 2):
            raise RuntimeError(f"exit code {end.code}: {errors.getvalue()}") from end
        return int(end.code)


class Onnx(FuzzTarget):
    name, suffix = "onnx", ".onnx"

    def __init__(self, folder: Path) -> None:
        import numpy as np
        from onnx import TensorProto, helper, numpy_helper

        def value(name: str, *shape: int) -> object:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        random_numbers = np.random.default_rng(0)
        weights = {
            "w": random_numbers.standard_normal((8, 3, 3, 3)),
            "b": random_numbers.standard_normal(8),
            "m": random_numbers.standard_normal((8, 5)),
        }
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Reshape", ["p", "shape"], ["f"]),
            helper.make_node("Gemm", ["f", "m"], ["g"], alpha=0.5),
            helper.make_node("Softmax", ["g"], ["y"], axis=-1),
        ]
        tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
        tensors.append(numpy_helper.from_array(np.array([1, 8]), "shape"))
        graph = helper.make_graph(nodes, "small", [value("x", 1, 3, 12, 12)], [value("y", 1, 5)], tensors)
        self._model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    @property
    def good(self) -> bytes:
        return bytes(self._model.SerializeToString())

    def damaged(self, rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return damaged_bytes(rng, self.good)
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for _ in range(rng.randint(1, 3)):
            _damage_message(rng, model)
        return model.SerializeToString()

    def read(self, path: Path) -> int:
        from flextune.plan.partition import partition_model

        partition_model(model_of(path))
        return 0


def _damage_message(rng: random.Random, message: object) -> None:
    """Changes one field somewhere in a protobuf message."""
    while True:
        fields = message.ListFields()  # type: ignore[attr-defined]
        if not fields:
            return
        field, value = rng.choice(fields)
        many = field.label == field.LABEL_REPEATED
        if field.type == field.TYPE_MESSAGE and rng.random() < 0.85:
            message = rng.choice(value) if many else value
            continue
        if many and rng.random() < 0.4:
            del value[rng.randrange(len(value))]
        elif many and field.type == field.TYPE_MESSAGE:
            value.add().CopyFrom(rng.choice(value))
        elif field.type == field.TYPE_MESSAGE:
            message.ClearField(field.name)  # type: ignore[attr-defined]
        else:
            _set_odd(rng, message, field, many)
        return


def _set_odd(rng: random.Random, message: object, field: object, many: bool) -> None:
    name, kind = field.name, field.type  # type: ignore[attr-defined]
    odd: object = rng.choice([0, 1, 2, 3, 7, 10, 16, 99, 2**31 - 1])
    if kind in (field.TYPE_INT64, field.TYPE_SINT64):  # type: ignore[attr-defined]
        odd = rng.choice([0, 1, -1, 2, 3, 5, 8, 100, 10**6, 2**31, 2**62, -(2**63)])
    elif kind in (field.TYPE_FLOAT, field.TYPE_DOUBLE):  # type: ignore[attr-defined]
        odd = rng.choice([0.0, -1.0, 1e38, float("nan"), float("inf")])
    elif kind == field.TYPE_STRING:  # type: ignore[attr-defined]
        odd = rng.choice(["", "x", "y", "Conv", "Relu", "MatMul", "Reshape", "Loop", "NoSuch", "ai.onnx.ml", "\x1b[2J"])
    elif kind == field.TYPE_BYTES:  # type: ignore[attr-defined]
        odd = rng.choice([b"", b"\xff\xfe", b"0" * 1000])
    with contextlib.suppress(TypeError, ValueError):
        if many:
            values = getattr(message, name)
            values[rng.randrange(len(values))] = odd
        else:
            setattr(message, name, odd)


def _recorded(folder: Path) -> Path:
    path = folder / "good.db"
    space = {"x": [1, 2, 3], "word": ["a", "b"]}
    minimize(lambda x, word: x - 2, space, 4, "random", db=path, isolated=False, name="good")
    return path


class Records(FuzzTarget):
    name, suffix = "records", ".jsonl"

    def __init__(self, folder: Path) -> None:
        from flextune.database.jsonl import export_jsonl

        self._db = folder / "imported.db"
        with open_database(_recorded(folder)) as database:
            export_jsonl(database, folder / "good.jsonl")
        self._lines = [(folder / "good.jsonl").read_bytes().splitlines()[0]]
        self._lines += [
            line
            for path in sorted((ROOT / "tests/data/format_1").glob("*.jsonl.xz"))
            for line in lzma.decompress(path.read_bytes()).splitlines()[:20]
        ]

    def damaged(self, rng: random.Random) -> bytes:
        line = rng.choice(self._lines)
        if rng.random() < 0.3:
            return damaged_bytes(rng, line)
        record = damaged_json(rng, json.loads(line))
        for name in ("trace", "body", "assignment"):
            if isinstance(record, dict) and isinstance(record.get(name), str) and rng.random() < 0.3:
                with contextlib.suppress(ValueError, RecursionError):
                    record[name] = json.dumps(damaged_json(rng, json.loads(record[name])))
        return json_bytes(record)

    def read(self, path: Path) -> int:
        self._db.unlink(missing_ok=True)
        command("records", "import", path, "--db", self._db)
        return max(command("show", "--db", self._db), command("show", "--db", self._db, "--json"))


class Rows(FuzzTarget):
    """A database with a row that somebody has damaged."""

    name, suffix = "rows", ".db"

    def __init__(self, folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(_recorded(folder))) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        self._data = (folder / "good.db").read_bytes()
        self._scratch = folder / "scratch.db"

    def damaged(self, rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return damaged_bytes(rng, self._data)
        self._scratch.write_bytes(self._data)
        with contextlib.closing(sqlite3.connect(self._scratch)) as connection:
            table, text_column = rng.choice((("trials", "own"), ("contexts", "common")))
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
            column = rng.choice([*columns, *[text_column] * 4])
            (text,) = connection.execute(f"SELECT {column} FROM {table} WHERE id = 1").fetchone()
            odd = rng.choice([None, 5, b"\xff\xfe", "", "{}", "[" * 3000])
            if column == text_column and rng.random() < 0.7:
                odd = json.dumps(damaged_json(rng, json.loads(text)))
            with contextlib.suppress(sqlite3.Error, UnicodeEncodeError):
                connection.execute("PRAGMA ignore_check_constraints = 1")
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = 1", (odd,))
            connection.commit()
        return self._scratch.read_bytes()

    def read(self, path: Path) -> int:
        return command("show", "--db", path)


class Caches(FuzzTarget):
    name = "caches"

    def __init__(self, folder: Path) -> None:
        self._good = []
        for format in ("kernel-tuner", "t4"):
            path = folder / f"good.{format}.json"
            command("records", "export", path, "--format", format, "--db", _recorded(folder))
            self._good.append(path.read_bytes())

    def damaged(self, rng: random.Random) -> bytes:
        good = rng.choice(self._good)
        return damaged_bytes(rng, good) if rng.random() < 0.3 else json_bytes(damaged_json(rng, json.loads(good)))

    def read(self, path: Path) -> int:
        from flextune.database.space_files import load_space
        from flextune.tuning.replayed_search import replay_run

        replay_run(load_space(path), "random", trials=3)
        return 0


class Specs(FuzzTarget):
    """Files of `flextune minimize`; their commands are not run."""

    name = "specs"

    def __init__(self, folder: Path) -> None:
        self._good = {
            "parameters": {
                "tile": {"low": 8, "high": 64, "powers_of_two": True},
                "level": ["-O1", "-O2"],
                "x": [1.5, 2],
            },
            "constraints": ["level != '-O1' or tile < 16", "tile * x < 200 and (tile > 8 or x > 1.5)"],
            "command": {
                "build": ["true", "{level}"],
                "run": ["echo", "{tile}", "{x}"],
                "value": "(\\S+)",
                "expect": "1",
            },
            "repeats": 3,
            "timeout_secs": 10,
            "default": {"tile": 16, "level": "-O2", "x": 1.5},
        }
        self._more = {
            "enqueue": [{"tile": 8, "level": "-O2", "x": 2}],
            "direction": {"": "maximize"},
            "finalists": 2,
            "stop_value": 0.5,
            "version": "1",
            "memory_mib": 100,
            "build_timeout_secs": 3.5,
            "parameters": {
                "tile": {"low": 16, "high": 64, "log": 3},
                "level": {"values": ["-O2", True, 3]},
                "x": {"low": 0.5, "high": 2, "step": 0.25},
            },
            "command": {"run": ["echo", "{tile}{level}", "{x}", "{folder}"], "metrics": {"secs": "printed"}},
        }

    def damaged(self, rng: random.Random) -> bytes:
        more = {name: value for name, value in self._more.items() if rng.random() < 0.3}
        return json_bytes(damaged_json(rng, {**self._good, **more}))

    def read(self, path: Path) -> int:
        spec = read_spec(path)
        command = spec.objective(path.parent)
        options = spec.options(True)
        space = spec.space()
        numbers = {"": 1.0, "wall": 2.0, **{name: 3.0 for name, _ in command.metrics}}
        goals = spec.direction if isinstance(spec.direction, dict) else {"": spec.direction}

        def measured(values: dict[str, object]) -> object:
            texts = {**{name: str(value) for name, value in values.items()}, "folder": "."}
            command.words(command.run, texts)
            found = {name: numbers[name] for name in goals if name in numbers}
            return found if set(found) - {""} else 1.0

        minimize(
            measured,
            space,
            2,
            "random",
            default=spec.default,
            enqueue=spec.enqueue,
            direction=spec.direction,
            name=spec.name or "spec",
            version=spec.version,
            options=replace(options, isolated=False, workers=1),
        )
        return 0


class Herons(FuzzTarget):
    name = "configs"

    def __init__(self, folder: Path) -> None:
        self._good = json.loads((ROOT / "examples/heron/quick_start.json").read_text())

    def damaged(self, rng: random.Random) -> bytes:
        return json_bytes(damaged_json(rng, self._good))

    def read(self, path: Path) -> int:
        config = read_config(path)
        for case in config.cases:
            case_workload(case, config)
        return 0


class Libraries(FuzzTarget):
    """Compiled models whose signature was changed, with the right checksum, or whose bytes were cut."""

    name, suffix = "libraries", ".so"

    def __init__(self, folder: Path) -> None:
        path, compiled = folder / "small.onnx", folder / "good.so"
        path.write_bytes(Onnx(folder).good)
        words = ("compile", path, "-o", compiled, "--db", _recorded(folder))
        subprocess.run([sys.executable, "-m", "flextune", *map(str, words)], check=True, capture_output=True)
        self._data = compiled.read_bytes()

    def damaged(self, rng: random.Random) -> bytes:
        _, length, _ = TRAILER.unpack(self._data[-TRAILER.size :])
        body = self._data[: -TRAILER.size - length]
        signature = self._data[-TRAILER.size - length : -TRAILER.size]
        if rng.random() < 0.2:
            return self._data[: rng.randint(0, len(self._data))]
        text = json_bytes(damaged_json(rng, json.loads(signature)))
        if rng.random() < 0.2:
            text = damaged_bytes(rng, signature)
        return body + text + TRAILER.pack(zlib.crc32(text, zlib.crc32(body)), len(text), MAGIC)

    def read(self, path: Path) -> int:
        with contextlib.suppress(EnvironmentFault):  # a changed signature may name another machine
            flextune.load(path)
        return 0


class Constraints(FuzzTarget):
    name, suffix = "constraints", ".txt"

    def __init__(self, folder: Path) -> None:
        self._good = [
            "x * y <= 12",
            "x % y == 0 and y > 1 or x < 3",
            "min(x, y, 3) ** 2 >= max(1, abs(x - y)) // 2",
            "word in ('a', 'b') and not x == 4",
            "y <= 2 or word != 'b'",
            "1 < x <= y < 8",
        ]

    def damaged(self, rng: random.Random) -> bytes:
        text = rng.choice(self._good)
        if rng.random() < 0.05:
            text = "(1 if " * rng.choice([50, 400, 3000]) + text + " else 0)" * rng.choice([50, 400, 3000])
        return damaged_text(rng, text).encode(errors="surrogatepass")

    def read(self, path: Path) -> int:
        text = path.read_bytes().decode(errors="surrogatepass")
        space = ParameterSpace.of({"x": range(1, 9), "y": range(1, 9), "word": ["a", "b", "c"]}, text)
        return 0 if space.solutions.count else 2


class Workloads(FuzzTarget):
    """Texts of all operators whose parts were exchanged; what is read is a program, and its text means the same."""

    name, suffix = "workloads", ".txt"

    _VALUES = ("0", "1", "2", "3", "-1", "5", "17", "2147483647", "99999999999", "1x0", "1x0x0x2", "", "x", "float32")
    _WORDS = ("bfloat16", "uint8", "float16", "nhwc", "nchw", "constant", "bias+relu", "relu", "sum", "max", "4x5")

    def __init__(self, folder: Path) -> None:
        self._good = [
            "gemm:m=64,n=64,k=64",
            "gemm:m=6,n=7,k=5,dtype=bfloat16,epilogue=bias+relu,weights=constant",
            "bmm:b=2,m=5,n=6,k=7",
            "gemv:m=9,k=17",
            "conv1d:w=9,ci=3,co=4,kw=3,pad=1x0",
            "conv2d:n=1,h=14,w=14,ci=32,co=32,kh=3,kw=3,stride=1,pad=1",
            "conv2d:h=7,w=7,ci=6,co=12,kh=3,kw=3,groups=6,pad=1x0x0x2,layout=nhwc",
            "conv3d:d=5,h=6,w=7,ci=2,co=3,kd=3,kh=3,kw=3,pad=1",
            "depthwise:h=7,w=7,c=6,multiplier=2,kh=3,kw=3,pad=1",
            "conv2d_transpose:h=4,w=5,ci=2,co=3,kh=3,kw=3,stride=2",
            "softmax:rows=8,cols=100",
            "layer_norm:rows=4,cols=33",
            "elementwise:shape=4x5,ops=relu",
        ]

    def damaged(self, rng: random.Random) -> bytes:
        text = rng.choice(self._good)
        if rng.random() < 0.3:
            return damaged_text(rng, text).encode(errors="surrogatepass")
        operator, _, rest = text.partition(":")
        parts = [part.partition("=")[::2] for part in rest.split(",")]
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(parts))
            name = parts[at][0]
            match rng.randrange(5):
                case 0 if len(parts) > 1:
                    del parts[at]
                case 1:
                    parts.insert(at, rng.choice(parts))
                case 2:
                    other = rng.choice(rng.choice(self._good).partition(":")[2].split(","))
                    parts.append(other.partition("=")[::2])
                case 3:
                    operator = rng.choice(self._good).partition(":")[0]
                case _:
                    parts[at] = (name, rng.choice((*self._VALUES, *self._WORDS)))
        return f"{operator}:{','.join(f'{name}={value}' for name, value in parts)}".encode()

    def read(self, path: Path) -> int:
        workload = parse_workload(path.read_bytes().decode(errors="surrogatepass"))
        assert parse_workload(str(workload)) == workload
        assert workload.flops >= 0
        tensors = (*workload.inputs, *workload.outputs)
        if max(tensor.elements for tensor in tensors) < _BUILT_ELEMENTS:
            workload.prim_func()
            results = workload.reference(workload.random_inputs(0))
            assert [each.shape for each in results] == [tensor.shape for tensor in workload.outputs]
        return 0


TARGETS = {each.name: each for each in (Onnx, Records, Rows, Caches, Specs, Herons, Libraries, Constraints, Workloads)}
