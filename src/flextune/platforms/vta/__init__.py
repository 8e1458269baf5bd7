"""VTA, a tensor accelerator of micro-ops and dependence tokens: code generation, and a simulator that executes it."""
