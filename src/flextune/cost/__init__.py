"""Cost models: which candidates are worth measuring, learned from those that were."""
