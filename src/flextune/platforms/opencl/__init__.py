"""GPUs and other devices with OpenCL."""
