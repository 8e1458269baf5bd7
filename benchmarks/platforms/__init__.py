"""What platforms that are emulated, simulated or modelled here reach; see `__main__`."""
