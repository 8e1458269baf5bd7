from typing import Any
TirProgram = Any
def load_program(body, constants): raise NotImplementedError
def from_prim_func(func, name, constants=()): raise NotImplementedError
