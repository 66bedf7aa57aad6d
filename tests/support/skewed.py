"""A service whose wall clock is wrong by `SHUNTER_TEST_SKEW` seconds, from its start on or from `…_AFTER` s later."""

from __future__ import annotations

import os
import threading
import time
from importlib import import_module

__all__ = ["run"]


def run() -> None:
    """Run `SHUNTER_TEST_MODULE`. The clock is changed below Python, so every library reads the wrong one."""
    skew, after = float(os.environ["SHUNTER_TEST_SKEW"]), float(os.environ.get("SHUNTER_TEST_SKEW_AFTER", "0"))

    def jump() -> None:
        import_module("time_machine").travel(time.time() + skew, tick=True).start()

    if after:
        timer = threading.Timer(after, jump)
        timer.daemon = True
        timer.start()
    else:
        jump()
    import_module(os.environ["SHUNTER_TEST_MODULE"]).run()
