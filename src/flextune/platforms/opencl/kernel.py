"""A built program on a device with OpenCL: launched and timed through pyopencl. Needs no TVM."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.errors import BuildError, EnvironmentFault
from flextune.platforms.base import Array
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.opencl.device import OpenDevice, PyOpenCl, pyopencl

_FLUSH_BYTES = 128 << 20
"""Written between timed single runs, so that they find their inputs in memory."""


class OpenClKernel:
    """See `flextune.platforms.base.Kernel`. Inputs live on the device from `bind` on; `run` copies all back.

    Times are those that the device's events state, from the start of the first launch to the end of the last.
    """

    def __init__(self, device: OpenDevice, source: str, plan: LaunchPlan, options: Sequence[str] = ()) -> None:
        self._cl, self._device, self._plan = pyopencl(), device, plan
        self._arrays: tuple[Array, ...] = ()
        self._buffers: tuple[PyOpenCl, ...] = ()
        self._launches: list[tuple[PyOpenCl, tuple[int, ...], tuple[int, ...]]] = []
        self._flush: PyOpenCl = None
        try:
            self._program = self._cl.Program(device.context, source).build(list(options))
        except self._cl.Error as error:
            raise BuildError(f"the OpenCL driver refused the kernel: {str(error)[-1500:]}") from error
        self._workspaces = {name: self._allocated(size) for name, size in plan.workspaces}

    def bind(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Copy all arrays to the device; earlier ones are freed."""
        self._release_arrays()
        self._arrays = (*inputs, *outputs)
        self._buffers = tuple(self._allocated(array.nbytes) for array in self._arrays)
        self._copy_to_device()
        at = dict(zip(self._plan.parameters, self._buffers, strict=True)) | self._workspaces
        for launch in self._plan.launches:
            kernel = self._cl.Kernel(self._program, launch.kernel)
            kernel.set_args(*(at[name] for name in launch.arguments))
            whole = tuple(count * size for count, size in zip(launch.grid, launch.block, strict=True))
            self._launches.append((kernel, whole, launch.block))

    def run(self) -> None:
        self._copy_to_device()
        self._start()
        self._device.queue.finish()
        for array, buffer in zip(self._arrays, self._buffers, strict=True):  # inputs too: they are checked
            self._cl.enqueue_copy(self._device.queue, array, buffer)

    def time(self, number: int, repeats: int) -> tuple[float, ...]:
        self._start()  # not counted: a driver may compile a kernel when it first starts
        self._device.queue.finish()
        return tuple(self._secs(number) for _ in range(repeats))

    def close(self) -> None:
        """Give everything back to the device."""
        self._release_arrays()
        self._workspaces, self._flush = {}, None

    def _secs(self, number: int) -> float:
        if number == 1:
            self._flush_cache()
        first, last = self._start()
        for _ in range(number - 1):
            _, last = self._start()
        self._device.queue.finish()
        return float(last.profile.end - first.profile.start) * 1e-9 / number

    def _flush_cache(self) -> None:
        if self._flush is None:
            self._flush = self._allocated(_FLUSH_BYTES)
        self._cl.enqueue_fill_buffer(self._device.queue, self._flush, b"\0", 0, _FLUSH_BYTES)
        self._device.queue.finish()

    def _start(self) -> tuple[PyOpenCl, PyOpenCl]:
        """The events of the first and the last launch."""
        queue = self._device.queue
        events = [self._cl.enqueue_nd_range_kernel(queue, *launch) for launch in self._launches]
        return events[0], events[-1]

    def _copy_to_device(self) -> None:
        for array, buffer in zip(self._arrays, self._buffers, strict=True):
            self._cl.enqueue_copy(self._device.queue, buffer, array)

    def _allocated(self, size: int) -> PyOpenCl:
        try:
            return self._cl.Buffer(self._device.context, self._cl.mem_flags.READ_WRITE, max(size, 1))
        except (self._cl.MemoryError, self._cl.LogicError) as error:  # the latter for more than one buffer may have
            raise EnvironmentFault(
                f"the OpenCL device has no {size} bytes left: close what else uses it, or take a smaller shape"
            ) from error

    def _release_arrays(self) -> None:
        for buffer in self._buffers:
            buffer.release()
        self._buffers, self._arrays, self._launches = (), (), []
