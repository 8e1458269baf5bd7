"""Qualcomm's Hexagon DSPs with vectors of 1024 bits (HVX): compiled for here, run in an emulator."""
