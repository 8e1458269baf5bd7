"""FPGAs: a systolic overlay of our own in Verilog; its parameters and schedules are one space, and are simulated."""
