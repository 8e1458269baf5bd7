"""The history that strategies keep, `flextune.trial.history`, under its former name."""

from flextune.trial.history import Fitness, History

__all__ = ["Fitness", "History"]
