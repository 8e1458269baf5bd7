"""An emulation of the part of Ascend C that generated kernels use: it executes, checks, and counts modelled cycles."""
