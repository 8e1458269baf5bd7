"""Known NVIDIA GPUs, as texts of targets.

Sources: threads, warp, registers and opt-in shared memory are of the table "Technical Specifications per Compute
Capability" of the CUDA C++ Programming Guide (163 KB at 8.0, 99 KB at 8.6 and 8.9, 227 KB at 9.0 and 10.0, 64 KB at
7.5); multiprocessors, L2, bandwidth (GB/s) and peaks (GFLOP/s, dense, float32 accumulation) of NVIDIA's data sheets and
architecture papers of the product.
"""

from __future__ import annotations

_AMPERE = "features=float16+bfloat16+tf32+int8+cp_async"

DEVICES = {
    "b200": f"arch=sm_100a,sms=148,{_AMPERE},shared=232448,l2=132120576,bandwidth=8000,float32=74450,"
    "tensor16=2250000,tf32=1125000,tensor8=4500000",
    "h200": f"arch=sm_90a,sms=132,{_AMPERE},shared=232448,l2=52428800,bandwidth=4800,float32=66900,"
    "tensor16=989400,tf32=494700,tensor8=1978900",
    "h100": f"arch=sm_90a,sms=132,{_AMPERE},shared=232448,l2=52428800,bandwidth=3350,float32=66900,"
    "tensor16=989400,tf32=494700,tensor8=1978900",
    "a100": f"arch=sm_80,sms=108,{_AMPERE},shared=166912,l2=41943040,bandwidth=2039,float32=19500,"
    "tensor16=312000,tf32=156000,tensor8=624000",
    "rtx4090": f"arch=sm_89,sms=128,{_AMPERE},shared=101376,l2=75497472,bandwidth=1008,float32=82600,"
    "tensor16=165200,tf32=82600,tensor8=660600",
    "rtx3090": f"arch=sm_86,sms=82,{_AMPERE},shared=101376,l2=6291456,bandwidth=936,float32=35600,"
    "tensor16=71000,tf32=35600,tensor8=284000",
    "l40s": f"arch=sm_89,sms=142,{_AMPERE},shared=101376,l2=100663296,bandwidth=864,float32=91600,"
    "tensor16=362000,tf32=183000,tensor8=733000",
    "l4": f"arch=sm_89,sms=58,{_AMPERE},shared=101376,l2=50331648,bandwidth=300,float32=30300,"
    "tensor16=121000,tf32=60000,tensor8=242000",
    "t4": "arch=sm_75,sms=40,features=float16+int8,shared=65536,l2=4194304,bandwidth=320,float32=8100,"
    "tensor16=65000,tf32=8100,tensor8=130000",
}
