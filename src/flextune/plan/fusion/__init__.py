"""The Fusion Switcher: the operators of a model, the plans that group them into kernels, and the module of a plan."""
