"""The outputs that all peers are compared with: `python -m benchmarks.model_peers.reference FOLDER`.

They are ONNX Runtime's in float32, whatever precision is measured.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.model_peers.call import ModelJob
from benchmarks.model_peers.onnx_runtime import compute, open_session


def main(folder: str) -> None:
    job = ModelJob.read(folder)
    session = open_session(job.file, job.threads)
    for seed in range(job.seeds):
        np.savez(job.reference_path(seed), *compute(session, job.inputs(seed)))


def read_reference(job: ModelJob, seed: int) -> list[np.ndarray]:
    """The reference outputs of the inputs of this seed, in the ONNX file's order."""
    with np.load(job.reference_path(seed)) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


if __name__ == "__main__":
    main(sys.argv[1])
