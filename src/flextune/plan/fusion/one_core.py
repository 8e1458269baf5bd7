"""What one core does, roughly: only ratios count, and what was measured replaces them."""

FLOPS_PER_SEC, BYTES_PER_SEC, LAUNCH_SECS = 1e11, 2e10, 5e-7
