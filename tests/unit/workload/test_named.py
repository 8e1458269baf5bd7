"""Shipped shapes load by name."""

from __future__ import annotations

import pytest

from flextune.errors import UsageError
from flextune.workload import list_workload_names, parse_workload

MOVING = ("max_unpool1d", "max_unpool2d", "shift_conv2d")
"""Operators that compute nothing."""


def test_every_name_loads() -> None:
    names = list_workload_names()
    assert len(names) == len(set(names)) == 1220
    for name in names:
        workload = parse_workload(name)
        assert parse_workload(str(workload)) == workload
        assert workload.flops > 0 or workload.operator in MOVING


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("heron_tensorcore_fp16_fig6.gemm.G3", "gemm:m=32,n=1000,k=2048,tb=1,dtype=float32"),
        ("heron_tensorcore_fp16_fig6.bmm.B1", "bmm:b=12,m=512,n=512,k=64,tb=1,dtype=float32"),
        ("heron_dlboost_u8s8s32_fig8.gemv.GV1", "gemv:m=512,k=16,dtype=uint8"),
        ("heron_dlboost_u8s8s32_fig8.scan.S1", "scan:m=16,n=512,k=128,dtype=uint8"),
        (
            "heron_dlboost_u8s8s32_fig8.c1d.C1D3",
            "conv1d:n=1,w=892,ci=512,co=512,kw=3,pad=4,dilation=2,layout=nwc,dtype=uint8",
        ),
        (
            "heron_dlboost_u8s8s32_fig8.c2d.C2D1",
            "conv2d:n=1,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,layout=nhwc,dtype=uint8",
        ),
        (
            "heron_tensorcore_fp16_fig6.c3d.C3D2",
            "conv3d:n=8,d=8,h=56,w=56,ci=64,co=128,kd=1,kh=1,kw=1,stride=2,dtype=float32",
        ),
        (
            "heron_tensorcore_fp16_fig6.dil.D1",
            "conv2d:n=16,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,dilation=2,dtype=float32",
        ),
        (
            "heron_tensorcore_fp16_fig6.t2d.T2",
            "conv2d_transpose:n=16,h=56,w=56,ci=64,co=128,kh=1,kw=1,stride=2,dtype=float32",
        ),
        ("heron_t4_a100_fig7.C4", "conv2d:n=32,h=7,w=7,ci=512,co=512,kh=3,kw=3,layout=nhwc,dtype=float32"),
        (
            "heron_networks_b16_fp16_fig10.resnet50.layer-0",
            "conv2d:n=16,h=224,w=224,ci=3,co=64,kh=7,kw=7,stride=2,pad=3,dtype=float32",
        ),
        (
            "flextensor.conv1d.conv1d_shapes.1",
            "conv1d:n=1,w=3136,ci=128,co=256,kw=9,pad=1,dtype=float32",
        ),
        (
            "flextensor.conv2d.yolo_shapes_b1.0",
            "conv2d:n=1,h=448,w=448,ci=3,co=64,kh=7,kw=7,stride=2,pad=3,dtype=float32",
        ),
        (
            "flextensor.conv2d.mobilev2_shapes.1",
            "conv2d:n=1,h=112,w=112,ci=16,co=96,kh=3,kw=3,stride=2,pad=1,groups=16,dtype=float32",
        ),
        (
            "flextensor.conv3d.conv3d_shapes.1",
            "conv3d:n=1,d=8,h=28,w=28,ci=64,co=128,kd=3,kh=3,kw=3,stride=2,pad=1,dtype=float32",
        ),
        (
            "flextensor.conv3d.paper_v100_log.0",
            "conv3d:n=1,d=16,h=112,w=112,ci=3,co=64,kd=7,kh=7,kw=7,stride=2,pad=3,dtype=float32",
        ),
        (
            "flextensor.depthwise.depthwise_shapes.1",
            "depthwise:n=1,h=112,w=112,c=16,multiplier=6,kh=3,kw=3,stride=2,pad=1,dtype=float32",
        ),
        (
            "flextensor.grouped.grouped_shapes.3",
            "conv2d:n=1,h=14,w=14,ci=1024,co=512,kh=1,kw=1,groups=32,dtype=float32",
        ),
        (
            "flextensor.conv_transpose2d.conv_transpose2d_shapes.4",
            "conv2d_transpose:n=1,h=1,w=1,ci=512,co=512,kh=4,kw=4,stride=2,pad=1,dtype=float32",
        ),
        ("flextensor.bilinear.bilinear_shapes.0", "bilinear:n=32,k1=1024,k2=1024,m=32,dtype=float32"),
        ("flextensor.mttkrp.mttkrp_shapes.0", "mttkrp:n=128,k1=256,k2=512,m=64,dtype=float32"),
        (
            "flextensor.block_circulant_matrix.block_circulant_matrix_shapes.1",
            "block_circulant:rows=1024,cols=256,block=16,dtype=float32",
        ),
        (
            "flextensor.maxunpooling1d.maxunpooling1d_shape.0",
            "max_unpool1d:n=1,c=128,w=114,kw=2,stride=2,dtype=float32",
        ),
        (
            "flextensor.maxunpooling2d.maxunpooling2d_shape.4",
            "max_unpool2d:n=1,c=512,h=7,w=7,kh=2,kw=2,stride=2,dtype=float32",
        ),
        (
            "flextensor.shift_conv2d.shift_conv2d_shape.1",
            "shift_conv2d:n=1,h=64,w=64,c=128,kh=5,kw=5,pad=2,dtype=float32",
        ),
        (
            "flextensor.PixelCNN.PixelCNN_shape.0",
            "pixel_cnn:n=1,h=256,w=256,ci=3,co=32,kh=7,kw=7,mask=A,dtype=float32",
        ),
        (
            "flextensor.conv_transpose1d.conv1d_shapes.1",
            "conv1d_transpose:n=1,w=3130,ci=256,co=128,kw=9,pad=1,dtype=float32",
        ),
        (
            "flextensor.conv_transpose3d.conv3d_shapes.1",
            "conv3d_transpose:n=1,d=4,h=14,w=14,ci=128,co=64,kd=3,kh=3,kw=3,stride=2,pad=1,dtype=float32",
        ),
        (
            "flextensor.gemm_conv2d.yolo_shapes_b1.0",
            "conv2d_im2col:n=1,h=448,w=448,ci=3,co=64,kh=7,kw=7,stride=2,pad=3,dtype=float32",
        ),
        ("flextensor.gemv.gemv_shapes.0", "gemv:m=128,k=128,dtype=float32"),
        ("flextensor.gemm.test_gemm_shapes.3", "bmm:b=16,m=4096,n=1024,k=128,dtype=float32"),
        ("flextensor.gemm.gemm_shapes.1", "gemm:m=32,n=64,k=32,dtype=float32"),
        ("flextensor.gemm.gemm_shapes.511", "gemm:m=4096,n=4096,k=4096,dtype=float32"),
    ],
)
def test_orders_of_parameters(name: str, text: str) -> None:
    assert str(parse_workload(name)) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flextensor.gated_pixelcnn.gated_pixelcnn_shape.0", "adds 3 channels to 256"),
        ("flextensor.conv_transpose1d.conv1d_shapes", "has 7 shapes"),
        ("flextensor.conv_transpose1d.no_such_shapes.0", "no shipped workload"),
        ("flextensor.conv2d.yolo_shapes_b1", "has 15 shapes"),
        ("flextensor.conv2d.yolo_shapes_b1.15", "has 15 shapes"),
        ("flextensor.gemm.gemm_shapes.512", "has 512 shapes"),
        ("heron_dlboost_u8s8s32_fig8.c2d.C2D", "did you mean 'heron_dlboost_u8s8s32_fig8.c2d.C2D"),
        ("heron_dlboost_u8s8s32_fig8.c2d", "no shipped workload"),
        ("heron_param_order.gemm", "no shipped workload"),
        ("some.thing", "no shipped workload"),
    ],
)
def test_unknown_names(name: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        parse_workload(name)
