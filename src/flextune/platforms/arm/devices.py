"""Known boards and servers with Arm processors, as the text form of a target without its kind.

Processor, caches and cores are those of the vendors' data sheets: of RK3588 and the like the big cores, of servers a
slice of four cores. Sizes are per core for L1 and L2, and of one instance of the last level.
"""

from __future__ import annotations

from collections.abc import Mapping

_V8 = "neon"
_V82 = "neon+fp16+dotprod"
_V84 = f"{_V82}+i8mm"

DEVICES: Mapping[str, str] = {
    "generic": f"cpu=generic,cores=4,features={_V8},l1=32768,l2=524288,l3=1048576",
    "raspberrypi4": f"cpu=cortex-a72,cores=4,features={_V8},l1=32768,l2=262144,l3=1048576",
    "raspberrypi5": f"cpu=cortex-a76,cores=4,features={_V82},l1=65536,l2=524288,l3=2097152",
    "rk3399": f"cpu=cortex-a72,cores=2,features={_V8},l1=32768,l2=524288,l3=1048576",
    "rk3588": f"cpu=cortex-a76,cores=4,features={_V82},l1=65536,l2=524288,l3=3145728",
    "jetson-orin": f"cpu=cortex-a78ae,cores=8,features={_V82},l1=65536,l2=262144,l3=4194304",
    "graviton2": f"cpu=neoverse-n1,cores=4,features={_V82},l1=65536,l2=1048576,l3=33554432",
    "graviton3": f"cpu=neoverse-v1,cores=4,features={_V84},l1=65536,l2=1048576,l3=33554432",
    "graviton4": f"cpu=neoverse-v2,cores=4,features={_V84},l1=65536,l2=2097152,l3=37748736",
    "kunpeng920": f"cpu=tsv110,cores=4,features={_V82},l1=65536,l2=524288,l3=33554432",
    "ampere-altra": f"cpu=neoverse-n1,cores=4,features={_V82},l1=65536,l2=1048576,l3=33554432",
    "snapdragon-8gen3": f"cpu=cortex-x4,cores=1,features={_V84},l1=65536,l2=2097152,l3=12582912",
}
