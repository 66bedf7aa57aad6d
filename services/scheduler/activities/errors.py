"""Our errors as Temporal understands them: translated here, once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import structlog
from temporalio.exceptions import ApplicationError

from contracts.errors import RefusedError

__all__ = ["translated_for_temporal"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

log = structlog.get_logger(__name__)


def translated_for_temporal(call: Callable[_P, Coroutine[Any, Any, _R]]) -> Callable[_P, Coroutine[Any, Any, _R]]:
    """Wrap an activity: a refusal is not retried; everything else is, and is visible in the UI meanwhile."""

    @wraps(call)
    async def translated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return await call(*args, **kwargs)
        except RefusedError as error:
            raise ApplicationError(error.detail, type=error.code.value, non_retryable=True) from error
        except Exception as error:
            log.warning("activity.failed", activity=call.__name__, error=repr(error))
            raise

    return translated
