"""What a model is made of: fusion, layouts and algorithms, and its partition into workloads."""
