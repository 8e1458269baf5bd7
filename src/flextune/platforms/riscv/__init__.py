"""RISC-V processors with 64 bits and vectors: compiled for here, run in an emulator."""
