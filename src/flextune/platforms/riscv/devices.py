"""Known boards with RISC-V vectors (RVV 1.0), as the text form of a target without its kind.

`vlen` is the length of a vector register in bits. Processor, caches and cores are those of the vendors' data sheets.
"""

from __future__ import annotations

from collections.abc import Mapping

DEVICES: Mapping[str, str] = {
    "generic-rvv128": "cpu=generic-rv64,cores=4,features=rvv,vlen=128,l1=32768,l2=524288,l3=1048576",
    "generic-rvv256": "cpu=generic-rv64,cores=4,features=rvv,vlen=256,l1=32768,l2=524288,l3=1048576",
    "generic-rvv512": "cpu=generic-rv64,cores=4,features=rvv,vlen=512,l1=32768,l2=524288,l3=1048576",
    "spacemit-k1": "cpu=spacemit-x60,cores=4,features=rvv,vlen=256,l1=32768,l2=524288,l3=524288",
    "sifive-p470": "cpu=sifive-p470,cores=4,features=rvv,vlen=128,l1=32768,l2=524288,l3=2097152",
    "sifive-x280": "cpu=sifive-x280,cores=4,features=rvv,vlen=512,l1=32768,l2=262144,l3=2097152",
    "canaan-k230": "cpu=generic-rv64,cores=1,features=rvv,vlen=128,l1=32768,l2=262144,l3=262144",
}
