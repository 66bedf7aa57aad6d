"""The shell line that Ray runs, and how secrets come to it.

Values of `runtime_env.env_vars` show up in the argv of the worker that Ray starts and in the log of its agent. The
metadata of a job do not: Ray hands them to the program in the variable below, which the line empties of ours.
"""

from __future__ import annotations

import base64
import shlex

from contracts.errors import InternalError
from services.scheduler.backends.engines.base import Launch

__all__ = ["METADATA", "entry_point", "sealed_env"]

METADATA = "shunter"
"""The name of what we say to our own line."""
_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_READ = f"""\
rest=${{{_CONFIG}#*'"{METADATA}": "'}}
config=${{{_CONFIG}%"$rest"}}
sealed=${{rest%%'"'*}}
{_CONFIG}="$config${{rest#"$sealed"}}"
eval "$(base64 -d <<end
$sealed
end
)"
unset rest config sealed
"""
"""The values are base64, so that neither JSON nor the shell has anything to quote."""


def entry_point(launch: Launch) -> str:
    """Return the line; it holds no secret."""
    return _READ + launch.script


def sealed_env(launch: Launch) -> str:
    """Return the environment as the metadata carry it."""
    for name in launch.env:
        if not name.isidentifier():
            raise InternalError(f"{name} is no name of a variable")
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(launch.env.items())]
    return base64.b64encode("\n".join(lines).encode()).decode("ascii")
