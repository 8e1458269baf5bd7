"""The generated CUDA source on a CPU: a fiber per thread, so that numbers and races show without a GPU."""
