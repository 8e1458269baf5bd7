"""What hardware is: `Target` (text round-trips), known devices, `detect()`, measured peaks, the doctor's report."""
