"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flextune.cli.completion import strategy_names_like

WorkloadText = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD", help="A workload such as gemm:m=512,n=512,k=512,dtype=float32, or a shipped name."
    ),
]
WorkloadOrModel = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD|MODEL.onnx",
        help="A workload such as gemm:m=512,n=512,k=512,dtype=float32, a shipped name, or a model.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
DatabasePath = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="FILE|URL",
        help="Records: a file or postgresql://user@host/name (default: $FLEXTUNE_DB, else flextune.db here).",
    ),
]
TargetText = Annotated[
    str | None, typer.Option("--target", help="Target text as printed by doctor (default: this machine).")
]
StrategyName = Annotated[
    str,
    typer.Option(
        "--strategy",
        help="Search strategy; `flextune strategies` lists them.",
        autocompletion=strategy_names_like,
    ),
]
StrategyOptionTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy-option",
        metavar="NAME=VALUE",
        help="Option of the strategy, as listed by `flextune strategies`; repeatable.",
    ),
]
CostModelOptionTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--cost-model-option", metavar="NAME=VALUE", help="Option of the cost model, such as loss=ranking; repeatable."
    ),
]
PretrainedPath = Annotated[
    Path | None,
    typer.Option(
        "--pretrained", metavar="MODEL", help="Model that `flextune pretrain` wrote, for the cost model to start from."
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="PASS", help="Do without this pass (see `flextune passes`); repeatable."),
]
PrecisionName = Annotated[
    str, typer.Option("--precision", help="float32, or bf16: matrix products of a model from bfloat16 values.")
]
Shapes = Annotated[
    list[str] | None, typer.Option("--shape", help="Shape of a model's dynamic input, as NAME=1x3x224x224; repeatable.")
]
Dims = Annotated[
    list[str] | None,
    typer.Option(
        "--dim",
        metavar="NAME=SIZE|LOW..HIGH",
        help="Size of a dimension of the inputs by its name, as seq=128, or its range, as seq=1..512 (seq=8..512:8 for "
        "multiples of 8): one library runs all sizes in it; repeatable.",
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option("--value", help="Make an input a constant, as NAME=16000 or NAME=1,2,3; repeatable."),
]
OnlyOwn = Annotated[
    bool,
    typer.Option("--only-own", help="Refuse a model of which parts would run in ONNX Runtime."),
]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Execution provider of ONNX Runtime for its parts, such as CUDAExecutionProvider; repeatable, in order.",
    ),
]
