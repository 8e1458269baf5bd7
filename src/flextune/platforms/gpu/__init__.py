"""What all GPUs share: limits as constraints, rules that make spaces, and launch plans of scheduled programs."""
