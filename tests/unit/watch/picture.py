"""`python -m tests.unit.watch.picture docs/watch.png`: the picture in docs/report.md, of a run on this machine.

Needs chromium and the extra `watch`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.unit.watch.browser import Browser
from tests.unit.watch.test_watch import _ENVIRONMENT, watching

_TUNED = ("gemm:m=512,n=512,k=512", "conv2d:n=1,h=28,w=28,ci=64,co=64,kh=3,kw=3,pad=1,layout=nhwc,epilogue=bias+relu")
_TRIALS = "48"
_SIZE = (1100, 1250)


def main(picture: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for workload in _TUNED:
            command = [sys.executable, "-m", "flextune", "tune", workload, "--trials", _TRIALS, "--db", "r.db"]
            subprocess.run(command, cwd=folder, env=_ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        with watching(folder) as address, Browser(folder / "profile") as browser:
            browser.resize(*_SIZE)
            browser.appear()
            browser.open(address)
            browser.wait("document.documentElement?.dataset.drawn >= 3")
            browser.picture(Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
