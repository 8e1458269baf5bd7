"""Bayesian optimisation: strategies that a surrogate model of the times guides, and what they choose from."""
