"""Operators of our own that are no programs over tensors: functions in C whose results' sizes data decide."""
