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
    "zu3eg": f"cpu=cortex-a53,cores=4,features={_V8},l1=32768,l2=262144,l3=1048576",
    "snapdragon-8gen3": f"cpu=cortex-x4,cores=1,features={_V84},l1=65536,l2=2097152,l3=12582912",
}

_NAMES = """
a64fx ampere1 ampere1a ampere1b ampere1c apple-a10 apple-a11 apple-a12 apple-a13 apple-a14 apple-a15 apple-a16
apple-a17 apple-a7 apple-m4 apple-m5 c1-nano c1-premium c1-pro c1-ultra carmel cortex-a320 cortex-a34 cortex-a35
cortex-a510 cortex-a520 cortex-a520ae cortex-a53 cortex-a55 cortex-a57 cortex-a65 cortex-a65ae cortex-a710
cortex-a715 cortex-a72 cortex-a720 cortex-a720ae cortex-a725 cortex-a73 cortex-a75 cortex-a76 cortex-a76ae
cortex-a77 cortex-a78 cortex-a78ae cortex-a78c cortex-r82 cortex-r82ae cortex-x1 cortex-x1c cortex-x2 cortex-x3
cortex-x4 cortex-x925 exynos-m3 exynos-m4 exynos-m5 falkor fujitsu-monaka gb10 generic grace kryo neoverse-512tvb
neoverse-e1 neoverse-n1 neoverse-n2 neoverse-n3 neoverse-v1 neoverse-v2 neoverse-v3 neoverse-v3ae olympus oryon-1
saphira thunderx thunderx2t99 thunderx3t110 thunderxt81 thunderxt83 thunderxt88 tsv110
"""

PROCESSORS = tuple(_NAMES.split())
"""LLVM 22's names of processors of 64 bits."""
