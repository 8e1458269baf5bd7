"""Nodes whose parameters depend on sizes, as operators of their own that say these sizes as expressions."""
