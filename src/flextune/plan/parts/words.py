"""What the parts of a model are called."""

OURS = "flextune"
"""Who runs those of ours, whatever else they are."""
