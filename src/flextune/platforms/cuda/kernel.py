"""A built program on a GPU: launched and timed through the driver's interface."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Mapping, Sequence

from flextune.errors import EnvironmentFault
from flextune.platforms.base import Array
from flextune.platforms.cuda.driver import Driver, DriverError
from flextune.platforms.gpu.launch_plan import Launch, LaunchPlan

_FLUSH_FACTOR = 2
"""The buffer that is written between timed runs is so many times the second cache: nothing of them stays there."""


class CudaKernel:
    """See `flextune.platforms.base.Kernel`. Inputs live on the device from `bind` on; `run` copies the outputs back.

    Times are of events on the device. Where single runs are timed the second cache is flushed before each, so that a
    kernel meets its inputs in memory; where several are timed together they find what the run before has left.
    """

    def __init__(
        self, driver: Driver, device: int, cubin: bytes, plan: LaunchPlan, others: Mapping[str, bytes] | None = None
    ) -> None:
        """`others` are the cubins of kernels that are not in `cubin`, by name."""
        self._driver, self._plan, self._device = driver, plan, device
        driver.use_device(device)
        self._modules: list[ctypes.c_void_p] = []
        main, own = self._loaded(cubin), {name: self._loaded(other) for name, other in (others or {}).items()}
        self._functions = {
            launch.kernel: driver.function(own.get(launch.kernel, main), launch.kernel, launch.dynamic_shared)
            for launch in plan.launches
        }
        self._workspaces = {name: self._allocated(size) for name, size in plan.workspaces}
        self._flush_bytes = _FLUSH_FACTOR * driver.facts(device).number("l2")
        self._flush = 0
        self._arrays: tuple[Array, ...] = ()
        self._addresses: tuple[int, ...] = ()
        self._launches: list[tuple[Launch, ctypes.Array[ctypes.c_void_p]]] = []
        self._values: list[ctypes.c_uint64] = []

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Copy all arrays to the device; earlier ones are freed."""
        self._release_arrays()
        self._arrays = (*inputs, *outputs)
        self._addresses = tuple(self._allocated(array.nbytes) for array in self._arrays)
        self._copy_to_device()
        at = dict(zip(self._plan.parameters, self._addresses, strict=True)) | self._workspaces
        self._launches = [(launch, self._arguments(launch, at)) for launch in self._plan.launches]

    def run(self) -> None:
        self._copy_to_device()
        self._start()
        self._driver.synchronize()
        for array, address in zip(self._arrays, self._addresses, strict=True):  # inputs too: they are checked
            self._driver.to_host(array.ctypes.data, address, array.nbytes)

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        events = self._driver.event(), self._driver.event()
        try:
            self._start()  # not counted: the first launch of a module loads it
            self._driver.synchronize()
            return tuple(self._secs(number, *events) for _ in range(repeats))
        finally:
            for event in events:
                self._driver.destroy_event(event)

    def close(self) -> None:
        """Give everything back to the device."""
        self._release_arrays()
        for address in (*self._workspaces.values(), *filter(None, (self._flush,))):
            self._driver.free(address)
        self._workspaces, self._flush = {}, 0
        while self._modules:
            self._driver.unload_module(self._modules.pop())

    def __del__(self) -> None:
        """A worker has one kernel after the other, and the device's memory is not Python's."""
        with contextlib.suppress(DriverError, AttributeError):  # where the device is lost, or the module was refused
            self.close()

    def _loaded(self, cubin: bytes) -> ctypes.c_void_p:
        self._modules.append(self._driver.load_module(cubin))
        return self._modules[-1]

    def _secs(self, number: int, start: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        if number == 1:
            self._flush_cache()
        self._driver.record(start)
        for _ in range(number):
            self._start()
        self._driver.record(end)
        return self._driver.secs_between(start, end) / number

    def _flush_cache(self) -> None:
        if not self._flush:
            self._flush = self._allocated(self._flush_bytes)
        self._driver.fill(self._flush, 0, self._flush_bytes)

    def _start(self) -> None:
        for launch, arguments in self._launches:
            function = self._functions[launch.kernel]
            self._driver.launch(function, launch.grid, launch.block, launch.dynamic_shared, arguments)

    def _copy_to_device(self) -> None:
        for array, address in zip(self._arrays, self._addresses, strict=True):
            self._driver.to_device(address, array.ctypes.data, array.nbytes)

    def _arguments(self, launch: Launch, at: dict[str, int]) -> ctypes.Array[ctypes.c_void_p]:
        """The addresses of the arguments' values, which must live as long as launches read them."""
        values = [ctypes.c_uint64(at[name]) for name in launch.arguments]
        self._values += values
        return (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))

    def _allocated(self, size: int) -> int:
        try:
            return self._driver.allocate(size)
        except DriverError as error:
            if not error.out_of_memory:
                raise
            raise EnvironmentFault(
                f"device {self._device} has no {size} bytes left: close what else uses the GPU, or take a smaller shape"
            ) from error

    def _release_arrays(self) -> None:
        for address in self._addresses:
            self._driver.free(address)
        self._addresses, self._arrays, self._launches, self._values = (), (), [], []
