import hashlib
import json

import numpy as np
import pytest

from flextune.cost.pretrained import TaskRecords, pretrain
from flextune.cost.pretrained_file import load_model, save_model
from flextune.cost.task_description import TaskDescription
from flextune.errors import FlextuneError, UsageError
from flextune.testing.cost_models import NAMES, example_assignments, example_secs

TASK = TaskDescription("example")
PROBE = example_assignments(np.random.default_rng(9), 60)


@pytest.fixture(scope="module", params=["regression", "ranking"])
def model(request):
    assignments = example_assignments(np.random.default_rng(0), 120)
    return pretrain([TaskRecords(TASK, NAMES, assignments, example_secs(assignments))], "here", request.param)


@pytest.fixture
def file(model, tmp_path):
    save_model(model, tmp_path / "model.json")
    return tmp_path / "model.json"


def signed(values):
    rest = {name: value for name, value in values.items() if name != "sha256"}
    return rest | {"sha256": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def test_round_trip(model, file):
    read = load_model(file)
    assert (read.training, read.features, read.calibration) == (model.training, model.features, model.calibration)
    before, after = (each.of_task(NAMES, TASK).scores(PROBE).tolist() for each in (model, read))
    assert before == after
    assert model.of_task(NAMES, TASK).importance() == read.of_task(NAMES, TASK).importance()
    assert list(file.parent.iterdir()) == [file]


def test_the_file_says_what_it_was_learned_from(file):
    values = json.loads(file.read_text())
    assert (values["format"], values["version"], values["target"]) == ("flextune cost model", 1, "here")
    assert values["operators"] == {"example": 120}
    assert "log tile_i" not in values["features"]
    assert "tile_i" in values["features"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON text"),
        ("[1, 2]", "it is no JSON object"),
        ("[" * 100_000, "it is no JSON text"),
        ("{}", "its 'format' is not 'flextune cost model'"),
        ('{"format": "flextune cost model", "version": 2}', "expected a model of 'version' 1, got 2; make it again"),
        ('{"format": "flextune cost model", "version": 1}', "damaged: it lacks target, loss"),
    ],
)
def test_other_files(tmp_path, text, message):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_model(path)


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match="`flextune pretrain` makes one"):
        load_model(tmp_path / "none.json")
    with pytest.raises(UsageError, match="Is a directory"):
        load_model(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it is no JSON text"):
        load_model(tmp_path / "bytes")


def test_a_cut_file(file):
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    with pytest.raises(UsageError, match="it is no JSON text"):
        load_model(file)


def test_a_changed_number(file):
    values = json.loads(file.read_text())
    values["tasks"] += 1
    file.write_text(json.dumps(values))
    with pytest.raises(UsageError, match="the model is damaged: its check sum is wrong"):
        load_model(file)


@pytest.mark.parametrize(
    "change",
    [
        {"trees": {}},
        {"trees": None},
        {"trees": {"learner": {}, "version": [3, 0, 0]}},
        {"features": ["one"]},
        {"features": "tile_i"},
        {"features": [1, 2]},
        {"operators": [1]},
        {"operators": None},
        {"tasks": "many"},
        {"loss": "hinge"},
        {"calibration": "x"},
        {"calibration": []},
        {"chance": 3},
    ],
)
def test_a_wrong_value_with_the_right_check_sum(file, change):
    file.write_text(json.dumps(signed(json.loads(file.read_text()) | change)))
    with pytest.raises(UsageError, match="the model is damaged"):
        load_model(file)


@pytest.mark.parametrize(
    ("part", "value"),
    [("left_children", 0), ("right_children", 10**6), ("left_children", -7), ("split_indices", 10**6)],
)
def test_trees_that_cannot_be_walked(file, part, value):
    values = json.loads(file.read_text())
    values["trees"]["learner"]["gradient_booster"]["model"]["trees"][0][part][0] = value
    file.write_text(json.dumps(signed(values)))
    with pytest.raises(UsageError, match="the model is damaged: trees with a node that leads nowhere"):
        load_model(file)


def test_trees_with_a_part_too_short(file):
    values = json.loads(file.read_text())
    values["trees"]["learner"]["gradient_booster"]["model"]["trees"][0]["split_conditions"].pop()
    file.write_text(json.dumps(signed(values)))
    with pytest.raises(UsageError, match="the model is damaged: trees whose parts do not belong together"):
        load_model(file)


def test_a_folder_that_is_not_there(model, tmp_path):
    with pytest.raises(FlextuneError, match="cannot be written"):
        save_model(model, tmp_path / "no" / "model.json")
