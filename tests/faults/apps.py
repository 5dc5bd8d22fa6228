"""The app that makes the tiny kind known to a worker process, and that can stop the worker at a chosen point."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import AppConfig

#: ``governance.attempt:read_outcome=/a/file``: on reaching the function, write the file and wait to be killed.
PAUSE = "ASSAY_TEST_PAUSE"


class TinyConfig(AppConfig):
    name = "tests.faults"
    label = "tiny_jobs"

    def ready(self) -> None:
        from governance import job_kinds
        from tests.faults.kinds import EXPLAINED, TINY

        job_kinds.register(TINY)
        job_kinds.register(EXPLAINED)
        if PAUSE in os.environ:
            place, _, marker = os.environ[PAUSE].partition("=")
            _pause_at(place, Path(marker))


def _pause_at(place: str, marker: Path) -> None:
    module_name, _, path = place.partition(":")
    owner: Any = import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)

    def paused(*args: Any, **options: Any) -> Any:
        marker.write_text("reached")
        time.sleep(600)

    reached: Callable[..., Any] = paused
    setattr(owner, name, reached)
