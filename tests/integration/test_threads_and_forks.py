"""Objectives run in forked processes, also when this process has threads, whoever started them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from flextune.measure.launcher import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="needs Linux")

FRONT = """
import sys, threading, numpy as np, flextune
def check(objective):
    result = flextune.minimize(objective, {"x": [1, 2, 3]}, 3, "random", timeout_secs=60)
    assert (result.failed, result.best) == (0, {"x": 1}), result
"""
TORCH = """
import torch
torch.set_num_threads(2)
data = torch.randn(3000, 1000)
torch.relu(data).sum()
def objective(x):
    assert torch.get_num_threads() == 2
    return x + 0 * float(torch.relu(data).sum() + torch.randn(300, 300).mm(torch.randn(300, 300)).sum())
check(objective)
"""
GRADIENTS = """
weight = torch.randn(1000, 1000, requires_grad=True)
(weight @ weight).relu().sum().backward()
def objective(x):
    (weight @ weight).relu().sum().backward()
    return x
check(objective)
"""
XGBOOST = """
import xgboost
data = xgboost.DMatrix(np.random.rand(20000, 20), np.random.rand(20000))
xgboost.train({"nthread": 2}, data, 2)
check(lambda x: x + 0 * len(xgboost.train({"nthread": 2}, data, 2).get_dump()))
"""
NUMPY = """
data = np.random.rand(700, 700)
data @ data
check(lambda x: x + 0 * float((data @ data).sum()))
"""
THREADS = """
data = np.random.rand(300, 300)
stop = threading.Event()
def busy():
    while not stop.is_set():
        data @ data
for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
check(lambda x: x + 0 * float((data @ data).sum()))
stop.set()
"""
LOCK = """
import warnings
lock = threading.Lock()
threading.Thread(target=lambda: lock.acquire() and threading.Event().wait(), daemon=True).start()
warnings.simplefilter("error")
try:
    flextune.minimize(lambda x: lock.acquire() and x, {"x": [1, 2]}, 2, "random", timeout_secs=0.5)
except UserWarning as warning:
    assert "computed nothing" in str(warning), warning
else:
    sys.exit("no warning")
"""


@pytest.mark.parametrize(
    ("module", "program"),
    [("torch", TORCH + GRADIENTS), ("xgboost", XGBOOST), ("numpy", NUMPY + THREADS + LOCK)],
    ids=["torch", "xgboost", "numpy"],
)
def test_thread_pools_of_the_parent(module, program):
    pytest.importorskip(module)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", FRONT + program],
        env=environment,
        timeout=100,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


MODEL = """
import os, sys, threading, time
import numpy as np
import flextune
loaded = flextune.load(sys.argv[1])
given = np.zeros((64, 256), np.float32)
stop = threading.Event()
def run():
    while not stop.is_set():
        loaded(given)
thread = threading.Thread(target=run)
thread.start()
ended = []
for _ in range(40):
    child = os.fork()
    if not child:
        loaded(given)
        os._exit(0)
    deadline = time.monotonic() + 20
    while not (done := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
        time.sleep(0.002)
    if not done[0]:
        os.kill(child, 9)
        os.waitpid(child, 0)
    ended.append(bool(done[0]))
stop.set()
thread.join()
os._exit(0 if all(ended) else 3)
"""


def test_a_child_forked_while_another_thread_runs_a_model(tmp_path):
    import onnx
    from onnx import helper

    weights = [onnx.numpy_helper.from_array(np.eye(256, dtype=np.float32), f"w{n}") for n in range(4)]
    names = ["x", "a", "b", "c", "y"]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(4)]
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [64, 256]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.so"
    onnx.save(model, tmp_path / "model.onnx")
    command = [sys.executable, "-m", "flextune", "compile", str(tmp_path / "model.onnx"), "-o", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", MODEL, str(path)], env=environment, timeout=200, check=False)
    assert done.returncode == 0
