"""The order in memory of a model's images: chosen over the whole graph, by an exact minimisation of predicted cost."""
