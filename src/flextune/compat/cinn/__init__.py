"""CINN's auto-tuner as its design document has it: a program with symbolic shapes, searched over ranges and applied."""

from flextune.compat.cinn import common, ops
from flextune.compat.cinn.generator import BFGenerator
from flextune.compat.cinn.operator import TunedOperator
from flextune.compat.cinn.searcher import ModelSearcher, SearchOption

__all__ = ["BFGenerator", "ModelSearcher", "SearchOption", "TunedOperator", "common", "ops"]
