"""Relax to kernels: legalisation, precision, and the graph of operators that plans are made on."""
