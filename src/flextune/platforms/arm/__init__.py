"""Arm processors with 64 bits: compiled for here, run in an emulator."""
