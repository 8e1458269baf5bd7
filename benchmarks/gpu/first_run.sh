#!/usr/bin/env bash
# usage: benchmarks/gpu/first_run.sh FOLDER [RESULT.json]   FOLDER is what `python -m benchmarks.gpu prepare` wrote
# Checks and times its kernels on this machine's first NVIDIA GPU in at most 8 minutes; needs python3 with NumPy, the
# driver, and PyTorch for the times. It installs nothing.
set -euo pipefail
folder=$(realpath "${1:?usage: $0 FOLDER [RESULT.json]}")
result=$(realpath -m "${2:-gpu-first-run.json}")
cd "$(dirname "$0")/../.."
export PYTHONPATH="$PWD/src:$PWD"
exec timeout 480 "${PYTHON:-python3}" -m benchmarks.gpu.first_run "$folder" --json "$result" --minutes 7
