"""Models of a function over assignments, fitted to few measurements: shared by strategies and cost models."""
