"""The constraint spaces that tests and benchmarks share: schedule spaces with exactly known sizes."""

from __future__ import annotations

from flextune.csp.constraint import Constraint, Divides, Le, Operand, Prod, Select, Sum
from flextune.csp.domain import Domain, Variable
from flextune.csp.problem import Problem

GEMM_COUNTS = {32: 401_472, 64: 4_356_864, 1024: 118_481_136, 4096: 139_715_392}
"""Exact size of `tensor_core_gemm(n, n, n)`."""

CONV3D_SHAPE = (64, 16, 56, 56, 64, 3, 3, 3)
CONV3D_COUNTS = {4: 23_003_827_570, 5: 238_982_741_930}
"""Exact size of `conv3d(CONV3D_SHAPE, levels)`."""


class _Draft:
    """Variables and constraints while a space is written down."""

    def __init__(self) -> None:
        self.variables: list[Variable] = []
        self.constraints: list[Constraint] = []

    def choose(self, name: str, domain: Domain) -> str:
        self.variables.append(Variable(name, domain))
        return name

    def define(self, definition: Prod | Sum | Select) -> str:
        self.variables.append(Variable(str(definition.result)))
        self.constraints.append(definition)
        return str(definition.result)

    def require(self, *constraints: Constraint) -> None:
        self.constraints.extend(constraints)

    def problem(self) -> Problem:
        return Problem(tuple(self.variables), tuple(self.constraints))


def tensor_core_gemm(m: int, n: int, k: int) -> Problem:
    """A tensor-core matrix multiplication on 48 KiB of shared memory: 19 chosen variables.

    Warp tile wm x wn x wk of 4096 multiplications; block tiles of four levels in i and j, three in k; each operand is
    staged at one of two positions, with a vector width and padding.
    """
    capacity, warp = 48 * 1024, Domain.of(8, 16, 32)
    draft = _Draft()
    for name in ("wm", "wn", "wk"):
        draft.choose(name, warp)
    for axis, extent, intrinsic in (("i", m, "wm"), ("j", n, "wn")):
        levels = tuple(draft.choose(f"{axis}{level}", Domain.divisors(extent)) for level in (3, 2, 1, 0))
        tile = draft.define(Prod(f"T{axis}", (intrinsic, *levels[:3]), name=f"tile_{axis}"))
        draft.require(Prod(extent, (tile, levels[3]), name=f"split_{axis}", reason=f"{axis} is split without a tail"))
    draft.choose("k1", Domain.divisors(k))
    draft.choose("k0", Domain.divisors(k))
    draft.define(Prod("TK", ("wk", "k1"), name="tile_k"))
    draft.require(
        Prod(k, ("TK", "k0"), name="split_k"),
        Prod(4096, ("wm", "wn", "wk"), name="intrinsic", reason="wmma multiplies 4096 elements"),
    )
    threads = draft.define(Prod("threads", (32, "i2", "j2")))
    draft.require(Le(threads, 1024, name="threads", reason="threads of a block"))
    sizes = tuple(_staged_operand(draft, operand, tile) for operand, tile in (("a", "Ti"), ("b", "Tj")))
    draft.define(Sum("shared_bytes", sizes))
    draft.require(Le("shared_bytes", capacity, name="shared_memory", reason="both operands share 48 KiB"))
    return draft.problem()


def _staged_operand(draft: _Draft, operand: str, tile: str) -> str:
    position = draft.choose(f"pos_{operand}", Domain.of(0, 1))
    vector = draft.choose(f"vec_{operand}", Domain.of(1, 2, 4, 8))
    padding = draft.choose(f"off_{operand}", Domain.of(0, 8, 16, 24, 32, 48))
    depth = draft.define(Select(f"K{operand}", position, ("TK", "wk")))
    draft.require(Divides(vector, depth, name=f"vector_{operand}"))
    area = draft.define(Prod(f"area_{operand}", (depth, tile)))
    step = draft.define(Prod(f"step_{operand}", (32, vector)))
    draft.require(Divides(step, area, name=f"warp_load_{operand}", reason="a warp loads whole vectors"))
    row = draft.define(Sum(f"row_{operand}", (depth, padding)))
    return draft.define(Prod(f"bytes_{operand}", (2, tile, row)))


def conv3d(shape: tuple[int, ...], levels: int = 5, register_elements: int = 256) -> Problem:
    """A 3-d convolution on a GPU: co, d, h, w split over registers, threads and virtual threads, ci and the kernel
    split for staging; `shape` is (co, d, h, w, ci, kd, kh, kw). 32 chosen variables for 5 levels, 24 of them free.
    """
    co, d, h, w, ci, kd, kh, kw = shape
    capacity = 48 * 1024 // 4
    draft = _Draft()
    used: dict[str, list[str]] = {"reg": [], "thr": [], "vth": []}

    def spatial(axis: str, extent: int, depth: int) -> str:
        roles = ("reg", "thr", "vth", "reg2")[: depth - 1]
        names = tuple(draft.choose(f"{axis}_{role}", Domain.divisors(extent)) for role in roles)
        for role, name in zip(roles, names, strict=True):
            used[role[:3]].append(name)
        return split(axis, extent, names, draft.choose(f"{axis}_grid", Domain.divisors(extent)))

    def reduction(axis: str, extent: int, depth: int) -> str:
        names = tuple(draft.choose(f"{axis}_{level}", Domain.divisors(extent)) for level in range(depth - 1))
        return split(axis, extent, names, draft.choose(f"{axis}_out", Domain.divisors(extent)))

    def split(axis: str, extent: int, inner: tuple[str, ...], outer: str) -> str:
        tile = draft.define(Prod(f"T_{axis}", inner))
        draft.require(Prod(extent, (tile, outer), name=f"split_{axis}"))
        return tile

    tile_co, tile_ci = spatial("co", co, levels), reduction("ci", ci, 3)
    weights: list[Operand] = [tile_co, tile_ci]
    image: list[Operand] = [tile_ci]
    axes = (("d", d, "kd", kd, levels - 1), ("h", h, "kh", kh, levels), ("w", w, "kw", kw, levels))
    for axis, extent, kernel_axis, kernel, depth in axes:
        tile_kernel = reduction(kernel_axis, kernel, 2)
        weights.append(tile_kernel)
        tile = spatial(axis, extent, depth)
        image.append(draft.define(Sum(f"ext_{axis}", (tile, tile_kernel, -1))))
    for role, limit in (("reg", register_elements), ("thr", 1024), ("vth", 8)):
        draft.define(Prod(role, tuple(used[role])))
        draft.require(Le(role, limit, name=f"limit_{role}"))
    draft.require(Divides(32, "thr", name="whole_warps"))
    draft.define(Prod("weights", tuple(weights)))
    draft.define(Prod("image", tuple(image)))
    draft.choose("vec_in", Domain.of(1, 2, 4, 8))
    draft.choose("vec_w", Domain.of(1, 2, 4, 8))
    draft.choose("pad", Domain.of(0, 1, 2, 4, 8))
    draft.choose("unroll", Domain.of(0, 16, 64, 512, 1024))
    draft.define(Prod("padding", (16, "pad")))
    draft.define(Sum("shared", ("weights", "image", "padding")))
    draft.require(
        Divides("vec_in", "image", name="vector_in"),
        Divides("vec_w", "weights", name="vector_weights"),
        Le("shared", capacity, name="shared_memory", reason="staged data fits 48 KiB of float32"),
    )
    return draft.problem()


def vnni_gemm(m: int, n: int, k: int, cores: int = 2) -> Problem:
    """An x86 matrix multiplication with the 16x4 dot product instruction: 13 chosen variables.

    Three levels in i and j, two in k, the register tile in 30 vector registers, the block in a share of the L2 cache.
    """
    draft = _Draft()
    for axis, extent in (("i", m), ("j", n // 16), ("k", k // 4)):
        names = tuple(
            draft.choose(f"{axis}{level}", Domain.divisors(extent)) for level in range(4 if axis != "k" else 3)
        )
        draft.require(Prod(extent, names, name=f"split_{axis}"))
    draft.choose("unroll", Domain.of(0, 16, 64))
    draft.choose("position", Domain.of(0, 1))
    draft.define(Prod("accumulators", ("i3", "j3")))
    draft.define(Sum("registers", ("accumulators", "j3", 1)))
    draft.require(Le("registers", 32, name="registers", reason="accumulators and operands stay in registers"))
    draft.define(Prod("block_a", (4, "i2", "i3", "k2")))
    draft.define(Prod("block_b", (64, "j2", "j3", "k2")))
    draft.define(Sum("block_bytes", ("block_a", "block_b")))
    draft.require(Le("block_bytes", 2**15, name="cache", reason="the block fits half of L2"))
    draft.define(Prod("tasks", ("i0", "j0")))
    draft.require(Divides(cores, "tasks", name="balance", reason="every core gets the same number of tasks"))
    draft.define(Select("reused", "position", ("i2", "j2")))
    draft.require(Le(2, "reused", name="reuse", reason="the kept operand is used more than once"))
    return draft.problem()
