"""CPUs of other families than the host's: compiled for here, run in an emulator."""
