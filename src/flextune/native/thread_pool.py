"""The own thread pool for kernels that TVM runs in this process: what is measured runs as in production."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from flextune.errors import BuildError, EnvironmentFault
from flextune.native.toolchain import pool_library

_pool: ctypes.CDLL | None = None
"""That kernels of this process run on, if they do."""

LAUNCH = "__TVMBackendParallelLaunch"
"""The variable by which a kernel finds what runs its parallel loops."""


def use_own_pool(threads: int) -> bool:
    """From now on, code that TVM loads in this process runs its parallel loops on the own pool with `threads` threads.

    False, and nothing is changed, where there is no C compiler. TVM fills a library's variables in the order in which
    their values were registered, so the last one holds.
    """
    global _pool
    import tvm_ffi.libinfo  # loads TVM's interface, which only this needs

    try:
        pool = ctypes.CDLL(str(pool_library()))
    except (BuildError, EnvironmentFault, OSError):
        return False
    pool.ft_use_threads(threads)
    interface = ctypes.CDLL(tvm_ffi.libinfo.find_libtvm_ffi())
    register = interface.TVMFFIEnvModRegisterContextSymbol
    register.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    if register(LAUNCH.encode(), ctypes.cast(pool.ft_parallel_launch, ctypes.c_void_p)) != 0:
        return False
    _pool = pool
    return True


@contextmanager
def run_alone(alone: bool) -> Iterator[None]:
    """Within it, if `alone`, parallel loops that this thread begins are run by it, as short steps of models are."""
    if _pool is None or not alone:
        yield
        return
    _pool.ft_run_alone(1)
    try:
        yield
    finally:
        _pool.ft_run_alone(0)
