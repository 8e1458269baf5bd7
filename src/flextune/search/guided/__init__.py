"""Strategies that a model of the times guides, and what they choose from."""
