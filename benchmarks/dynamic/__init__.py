"""Sizes that are known only when a program runs: kernels, models and the runtime, beside static builds and peers."""
