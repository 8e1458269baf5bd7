"""Known devices: typical parts of each x86 family, as the text form of a target without its kind.

Sizes are per core for L1 and L2, and of one instance for L3 (vendors' optimisation manuals). Cores and memory are
those of a small server slice; override them in the text form: `x86:cascadelake,cores=16`.
"""

from __future__ import annotations

from collections.abc import Mapping

_SSE4 = "sse4"
_AVX2 = "sse4+avx2"
_AVX512 = "sse4+avx2+avx512"
_VNNI = f"{_AVX512}+vnni"
_BF16 = f"{_VNNI}+bf16"

DEVICES: Mapping[str, str] = {
    "sse4-generic": f"cpu=x86-64-v2,cores=4,features={_SSE4},l1=32768,l2=262144,l3=8388608",
    "avx2-generic": f"cpu=x86-64-v3,cores=4,features={_AVX2},l1=32768,l2=262144,l3=8388608",
    "avx512-generic": f"cpu=x86-64-v4,cores=4,features={_AVX512},l1=32768,l2=1048576,l3=16777216",
    "haswell": f"cpu=haswell,cores=4,features={_AVX2},l1=32768,l2=262144,l3=8388608",
    "skylake": f"cpu=skylake,cores=4,features={_AVX2},l1=32768,l2=262144,l3=8388608",
    "skylake-avx512": f"cpu=skylake-avx512,cores=8,features={_AVX512},l1=32768,l2=1048576,l3=11534336",
    "cascadelake": f"cpu=cascadelake,cores=8,features={_VNNI},l1=32768,l2=1048576,l3=11534336",
    "cooperlake": f"cpu=cooperlake,cores=8,features={_BF16},l1=32768,l2=1048576,l3=11534336",
    "icelake": f"cpu=icelake-server,cores=8,features={_VNNI},l1=49152,l2=1310720,l3=12582912",
    "alderlake": f"cpu=alderlake,cores=8,features={_AVX2}+avxvnni,l1=49152,l2=1310720,l3=31457280",
    "sapphirerapids": f"cpu=sapphirerapids,cores=8,features={_BF16}+avxvnni+amx,l1=49152,l2=2097152,l3=15728640",
    "znver2": f"cpu=znver2,cores=8,features={_AVX2},l1=32768,l2=524288,l3=16777216",
    "znver3": f"cpu=znver3,cores=8,features={_AVX2},l1=32768,l2=524288,l3=33554432",
    "znver4": f"cpu=znver4,cores=8,features={_BF16},l1=32768,l2=1048576,l3=33554432",
    "znver5": f"cpu=znver5,cores=8,features={_BF16}+avxvnni,l1=49152,l2=1048576,l3=33554432",
}
