"""System checks of what jobs need from the machine: writable folders, an executor, a sandbox."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from workers import sandbox
from workers.executors.local import LocalExecutor


@register("governance")
def folders_are_writable(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """The store and the job folders can be written, or made where they are not there yet."""
    return [
        Error(
            f"{name} is {folder}, which this process cannot write.",
            hint="Name a folder of the user that runs Assay, or change its owner.",
            id="governance.E010",
        )
        for name in ("ASSAY_STORE_FOLDER", "ASSAY_JOBS_FOLDER")
        if not _can_be_written(folder := Path(getattr(settings, name)))
    ]


@register("governance")
def executor_is_known(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """The executor that settings name is there."""
    if LocalExecutor.name == settings.ASSAY_EXECUTOR:
        return []
    return [
        Error(
            f"ASSAY_EXECUTOR is {settings.ASSAY_EXECUTOR!r}, which no package provides.",
            hint=f"Leave it out, or set it to {LocalExecutor.name}.",
            id="governance.E011",
        )
    ]


@register("governance")
def sandbox_is_whole(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """A job on this machine can be kept from the network and from other files."""
    layers = sandbox.probe()
    missing = []
    if not layers.cuts_network:
        missing.append("network isolation")
    if not layers.fences_files:
        missing.append("file isolation (Landlock)")
    if not missing:
        return []
    return [
        Warning(
            f"The sandbox of jobs lacks {' and '.join(missing)}: a worker here refuses every job that loads a model.",
            hint="Linux 5.13 or newer with Landlock enabled, and leave for seccomp or user namespaces.",
            id="governance.W010",
        )
    ]


def _can_be_written(folder: Path) -> bool:
    """Tell whether a folder, or the nearest one above it that is there, can be written."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
