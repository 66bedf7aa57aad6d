"""`python -m deploy.local.npm FOLDER`: install the packages of a package-lock.json, with the npm beside our Node.js."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .issuer import find_node
from .servers import StartError

__all__ = ["main"]


def main(folder: Path) -> int:
    """Install what the lock says, each package checked by its hash; no package runs anything while it is installed."""
    node = Path(find_node())
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not npm.exists():
        raise StartError(f"there is no npm beside {node}")
    command = [*(str(node), str(npm), "ci", "--ignore-scripts"), *("--no-audit", "--no-fund", "--loglevel=error")]
    return subprocess.run(command, cwd=folder, check=False).returncode  # noqa: S603 (our own program)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
