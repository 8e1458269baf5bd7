"""Huawei's Ascend processors: kernels in Ascend C, executed in an emulation of its interface."""
