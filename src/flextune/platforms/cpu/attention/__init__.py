"""Attention written out as one kernel: what it is made of, and the kernel itself."""
