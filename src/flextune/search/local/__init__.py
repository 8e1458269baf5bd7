"""Strategies that move from neighbour to neighbour."""
