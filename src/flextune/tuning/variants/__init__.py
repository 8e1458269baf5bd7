"""Several schedules of one program with symbolic sizes, and which of them a size gets."""
