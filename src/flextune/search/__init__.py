"""Search strategies: which assignments to measure next."""
