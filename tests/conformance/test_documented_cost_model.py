"""The cost model in docs/cost_models.md passes the suite, as it stands there."""

import re
from pathlib import Path

import pytest

from flextune.cost import cost_model_registry
from flextune.cost.cost_model_registry import create_cost_model

_PAGE = Path(__file__).parents[2] / "docs" / "cost_models.md"


def documented():
    """What the code of the page defines; it registers its model in a registry of its own."""
    names = {"__name__": __name__}
    own = pytest.MonkeyPatch()
    own.setattr(cost_model_registry, "_MODELS", cost_model_registry.Registry("cost model", {}))
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)):
        exec(compile(block, f"{_PAGE.name}, block {number}", "exec", dont_inherit=True), names)
    model = create_cost_model("nearest", ("i",), 0, options={"neighbours": "3"})
    own.undo()
    assert model.options.neighbours == 3
    return names["TestNearest"]


TestNearest = documented()
