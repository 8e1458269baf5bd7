"""What all CPUs share: limits of registers and caches, and the rules of schedule spaces."""
