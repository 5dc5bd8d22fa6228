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
from workers.protocol import JobError

_BUBBLEWRAP_HINT = (
    "Install the package bubblewrap; a container has to allow user namespaces and to mount /proc. "
    "`bwrap --unshare-all --ro-bind / / --proc /proc true` says what stands in the way."
)
#: The version of Landlock's interface from which on it keeps signals inside.
_LANDLOCK_SCOPES_SIGNALS = 6


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
    """A job on this machine can be kept from the network and from other files, in the way that settings ask for."""
    choice = settings.ASSAY_SANDBOX
    layers = sandbox.probe(choice)
    if choice == sandbox.BUBBLEWRAP and not layers.bubblewrap:
        return [
            Error(
                "ASSAY_SANDBOX is bubblewrap, which does not work on this machine: a worker here refuses every job "
                "that loads a model.",
                hint=f"{_BUBBLEWRAP_HINT} Or set ASSAY_SANDBOX to {sandbox.AUTO}.",
                id="governance.E012",
            )
        ]
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


@register("governance")
def sandbox_is_strong(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:
    """Behind the layers that a job cannot do without stand others that would hold if one of those failed."""
    choice = settings.ASSAY_SANDBOX
    layers = sandbox.probe(choice)
    if not layers.may_load_uploads:
        return []
    weaknesses = (
        (
            choice == sandbox.AUTO and not layers.bubblewrap,
            "Jobs start without bubblewrap: they see which other processes run on the machine.",
            f"{_BUBBLEWRAP_HINT} Or set ASSAY_SANDBOX to {sandbox.NAMESPACES}, which says that this is meant.",
            "governance.W011",
        ),
        (
            not layers.seccomp,
            "System calls of jobs are not filtered: they may start processes and programs, up to their limit.",
            "Linux with seccomp filters, on x86_64 or aarch64.",
            "governance.W012",
        ),
        (
            "pid" not in layers.namespaces and layers.landlock < _LANDLOCK_SCOPES_SIGNALS,
            "Jobs may send signals to other processes of the user that runs the worker.",
            "Bubblewrap, or Linux 6.12 or newer.",
            "governance.W013",
        ),
        (
            os.geteuid() == 0,
            "Assay runs as root, whom the system does not limit in processes and threads.",
            "Run web process and workers as a user of their own.",
            "governance.W014",
        ),
    )
    return [Warning(told, hint=hint, id=number) for is_weak, told, hint, number in weaknesses if is_weak]


@register("governance")
def cards_can_be_told(
    app_configs: Sequence[AppConfig] | None,
    driver: sandbox.Driver = sandbox.Driver(),  # noqa: B008 - immutable
    **options: Any,
) -> list[CheckMessage]:
    """A job on a GPU of this machine can be kept to the cards that it is assigned."""
    try:
        driver.assigned(card.device for card in driver.cards())
    except JobError as error:
        return [
            Warning(
                error.detail,
                hint="`cat /proc/driver/nvidia/gpus/*/information` says what the driver tells of its cards; a container"
                " with more than one has to show it.",
                id="governance.W015",
            )
        ]
    return []


def _can_be_written(folder: Path) -> bool:
    """Tell whether a folder, or the nearest one above it that is there, can be written."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
