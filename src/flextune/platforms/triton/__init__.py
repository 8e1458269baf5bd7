"""Products of matrices in Triton, for GPUs of NVIDIA and AMD."""
