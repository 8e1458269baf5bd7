"""FlexTensor's two methods."""
