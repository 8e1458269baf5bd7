"""NVIDIA GPUs: CUDA source compiled by NVRTC, launched through the driver's interface; see docs/gpu.md."""
