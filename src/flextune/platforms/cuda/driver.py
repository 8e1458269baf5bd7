"""The CUDA driver's interface through ctypes: `libcuda.so.1`, which comes with every driver, is all that is needed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from flextune.errors import BuildError, DeviceLostError, EnvironmentFault

LIBRARY = "libcuda.so.1"
LIBRARY_VARIABLE = "FLEXTUNE_CUDA_DRIVER"
"""Names another library than the driver's, for tests."""

LEAST_VERSION = 12000
"""CUDA 12.0: older drivers do not load cubins of the compilers that are supported."""

_OUT_OF_MEMORY = 2
_DYNAMIC_SHARED_ATTRIBUTE = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

ATTRIBUTE_NUMBERS = {
    "threads": 1,  # CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK
    "warp": 10,  # WARP_SIZE
    "memory_clock_khz": 36,  # MEMORY_CLOCK_RATE
    "sms": 16,  # MULTIPROCESSOR_COUNT
    "bus_bits": 37,  # GLOBAL_MEMORY_BUS_WIDTH
    "l2": 38,  # L2_CACHE_SIZE
    "major": 75,  # COMPUTE_CAPABILITY_MAJOR
    "minor": 76,  # COMPUTE_CAPABILITY_MINOR
    "registers": 82,  # MAX_REGISTERS_PER_MULTIPROCESSOR
    "shared": 97,  # MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
}
"""CUdevice_attribute of cuda.h, by the names of our targets' attributes where there is one."""


class DriverError(BuildError):
    """A call of the driver failed; `code` is its CUresult."""

    def __init__(self, call: str, code: int, text: str) -> None:
        super().__init__(f"the CUDA driver refused {call}: {text} (code {code})")
        self.code = code

    @property
    def out_of_memory(self) -> bool:
        return self.code == _OUT_OF_MEMORY


class LostDriverError(DriverError, DeviceLostError):
    """The same, of a fault after which every other call fails too."""


_LOST = frozenset((214, 700, 702, 710, 714, 715, 716, 717, 718, 719, 720))
"""CUresult of memory and instruction faults, and of launches that the driver ended: the context is destroyed."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What the driver says of one device: its name, and numbers by the keys of `ATTRIBUTE_NUMBERS`."""

    name: str
    memory_bytes: int
    numbers: tuple[tuple[str, int], ...]

    def number(self, key: str) -> int:
        return dict(self.numbers)[key]


class Driver:
    """The functions of libcuda that are used here, checked: whatever fails raises `DriverError`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: object) -> None:
        """Call a function of the driver by name."""
        code = getattr(self._library, name)(*arguments)
        if code:
            fault = LostDriverError if code in _LOST else DriverError
            raise fault(name, code, self._error_text(code))

    def _error_text(self, code: int) -> str:
        text = ctypes.c_char_p()
        known = self._library.cuGetErrorString(code, ctypes.byref(text)) == 0 and text.value
        return text.value.decode(errors="replace") if known and text.value else "unknown error"

    @property
    def version(self) -> int:
        """As the driver counts: 13000 is CUDA 13.0."""
        number = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return number.value

    def device_count(self) -> int:
        count = ctypes.c_int()
        self.call("cuDeviceGetCount", ctypes.byref(count))
        return count.value

    def facts(self, index: int) -> DeviceFacts:
        device, value, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
        self.call("cuDeviceGet", ctypes.byref(device), index)
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, len(name), device)
        self.call("cuDeviceTotalMem_v2", ctypes.byref(total), device)
        numbers = []
        for key, attribute in ATTRIBUTE_NUMBERS.items():
            self.call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
            numbers.append((key, value.value))
        return DeviceFacts(name.value.decode(errors="replace"), total.value, tuple(numbers))

    def use_device(self, index: int) -> None:
        """Make the device's primary context the one of this thread."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), index)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def allocate(self, size: int) -> int:
        """The address of `size` bytes on the device."""
        pointer = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(max(size, 1)))
        return pointer.value

    def free(self, address: int) -> None:
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def to_device(self, address: int, host: int, size: int) -> None:
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_void_p(host), ctypes.c_size_t(size))

    def to_host(self, host: int, address: int, size: int) -> None:
        self.call("cuMemcpyDtoH_v2", ctypes.c_void_p(host), ctypes.c_uint64(address), ctypes.c_size_t(size))

    def fill(self, address: int, byte: int, size: int) -> None:
        """Set bytes, on the stream that launches use."""
        self.call("cuMemsetD8Async", ctypes.c_uint64(address), ctypes.c_ubyte(byte), ctypes.c_size_t(size), None)

    def load_module(self, cubin: bytes) -> ctypes.c_void_p:
        module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), cubin)
        return module

    def unload_module(self, module: ctypes.c_void_p) -> None:
        self.call("cuModuleUnload", module)

    def function(self, module: ctypes.c_void_p, name: str, dynamic_shared: int) -> ctypes.c_void_p:
        """A kernel of a module, allowed to use so much dynamic shared memory."""
        function = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        if dynamic_shared:
            self.call("cuFuncSetAttribute", function, _DYNAMIC_SHARED_ATTRIBUTE, dynamic_shared)
        return function

    def launch(
        self,
        function: ctypes.c_void_p,
        grid: Sequence[int],
        block: Sequence[int],
        dynamic_shared: int,
        arguments: ctypes.Array[ctypes.c_void_p],
    ) -> None:
        """Start a kernel on the default stream; `arguments` hold the addresses of its arguments."""
        self.call("cuLaunchKernel", function, *grid, *block, dynamic_shared, None, arguments, None)

    def synchronize(self) -> None:
        """Wait for everything; an error of an earlier launch shows here."""
        self.call("cuCtxSynchronize")

    def event(self) -> ctypes.c_void_p:
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), 0)
        return event

    def destroy_event(self, event: ctypes.c_void_p) -> None:
        self.call("cuEventDestroy_v2", event)

    def record(self, event: ctypes.c_void_p) -> None:
        self.call("cuEventRecord", event, None)

    def secs_between(self, start: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        """Waits for `end`."""
        milliseconds = ctypes.c_float()
        self.call("cuEventSynchronize", end)
        self.call("cuEventElapsedTime", ctypes.byref(milliseconds), start, end)
        return milliseconds.value * 1e-3


@cache
def open_driver(path: str = "") -> Driver:
    """The driver of this machine (or the library at `path`). Raises `EnvironmentFault` that says what is missing."""
    name = path or os.environ.get(LIBRARY_VARIABLE) or LIBRARY
    try:
        library = ctypes.CDLL(name)
    except OSError:
        raise EnvironmentFault(
            f"no CUDA device to measure on: {name} is not there; install NVIDIA's driver (no toolkit is needed)"
        ) from None
    try:
        driver = Driver(library)
    except DriverError as error:
        raise EnvironmentFault(f"no CUDA device to measure on: {error}") from error
    if driver.version < LEAST_VERSION:
        raise EnvironmentFault(
            f"the CUDA driver is for CUDA {driver.version // 1000}.{driver.version % 1000 // 10}; "
            f"{LEAST_VERSION // 1000}.0 or newer is needed: update NVIDIA's driver"
        )
    if driver.device_count() == 0:
        raise EnvironmentFault("no CUDA device to measure on: the driver sees none")
    return driver
