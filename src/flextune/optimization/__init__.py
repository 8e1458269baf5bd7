"""A whole model made fast: kernels and groups tuned, finalists chosen inside the model, never slower than before."""
