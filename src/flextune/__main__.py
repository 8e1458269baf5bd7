"""The command `flextune`, also as `python -m flextune`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line. Ctrl-C while it is still loaded ends in one line too."""
    try:
        from flextune.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit("flextune: interrupted")
    run()


if __name__ == "__main__":
    main()
