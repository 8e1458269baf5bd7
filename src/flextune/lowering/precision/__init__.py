"""Models in fewer bits than float32: bfloat16 storage and products, quantised ONNX models on bytes."""
