"""The C runtime that compiled models carry: threads, memory, a C interface. It knows nothing of TVM's libraries.

`flextune_model.h` is what users include; `program.h` what is generated for a model; `pool.c` runs parallel loops.
"""
