"""``manage.py worker``: run jobs until Ctrl-C, or until the queue is empty."""

from __future__ import annotations

import os
import re
import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from governance import queue
from governance.dispatcher import Dispatcher
from governance.models import Job
from workers import sandbox
from workers.executors.local import LocalExecutor
from workers.protocol import JobError

_DEVICE = re.compile(r"cpu|cuda:\d+")


class Command(BaseCommand):
    help = "Run queued jobs. Several workers may run at once, on one machine or on several that share the store."
    driver = sandbox.Driver()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--slots", type=int, default=1, help="jobs at a time (default: 1)")
        parser.add_argument("--devices", default="cpu", help="cpu, cuda:0,cuda:1 or cpu,cuda:0 (default: cpu)")
        parser.add_argument("--threads", type=int, help="threads of one job (default: the cores by the slots)")
        parser.add_argument("--until-idle", action="store_true", help="end when no unfinished job fits the devices")
        parser.add_argument("--poll-seconds", type=float, default=0.1, help="pause of an idle worker (default: 0.1)")
        parser.add_argument("--keep-folders", action="store_true", help="keep the folders of ended jobs under kept/")

    def handle(self, *args: Any, **options: Any) -> None:
        slots = options["slots"]
        devices = options["devices"].split(",")
        for device in devices:
            if not _DEVICE.fullmatch(device) or devices.count(device) > 1:
                raise CommandError(f"--devices has {device!r}; write cpu and cuda:N, each once, with commas between.")
        try:
            cards = self.driver.assigned(devices)
        except JobError as error:
            raise CommandError(error.detail) from error
        if not cards and devices != [queue.CPU]:
            self.stderr.write("This machine shows no card of NVIDIA's: what computes on a GPU will find none.")
        if slots < 1 or options["poll_seconds"] <= 0:
            raise CommandError("--slots is at least 1, --poll-seconds more than 0.")
        if LocalExecutor.name != settings.ASSAY_EXECUTOR:
            raise CommandError(f"ASSAY_EXECUTOR is {settings.ASSAY_EXECUTOR!r}; this version has the executor local.")
        threads = options["threads"] or max(1, (os.cpu_count() or 1) // slots)
        dispatcher = Dispatcher(
            executor=LocalExecutor(
                threads=threads,
                runner_packages=settings.ASSAY_RUNNER_PACKAGES,
                choice=settings.ASSAY_SANDBOX,
                driver=self.driver,
            ),
            slots=slots,
            devices=devices,
            poll_seconds=options["poll_seconds"],
            keep_folders=options["keep_folders"],
        )

        def stop(number: int, frame: FrameType | None) -> None:
            dispatcher.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        self.stdout.write(
            f"Worker {dispatcher.name}: {slots} job{'s' * (slots != 1)} at a time on {', '.join(devices)}, "
            f"{threads} thread{'s' * (threads != 1)} each. Ctrl-C ends it."
        )
        self.stdout.flush()
        was_stopped = self._run(dispatcher, until_idle=options["until_idle"])
        ended, released = dispatcher.ended_count, dispatcher.released_count
        told = f"{ended} job{'s' * (ended != 1)} ended here"
        if was_stopped:
            back = f"{released} went back to the queue" if released else "none was running"
            self.stdout.write(f"Stopped: {told}; {back}.")
            return
        self.stdout.write(f"The queue is empty: {told}.")
        waiting = Job.objects.queued().exclude(queue.fitting(devices)).count()
        if waiting:
            self.stdout.write(f"Left for workers with other devices: {waiting}.")

    @staticmethod
    def _run(dispatcher: Dispatcher, *, until_idle: bool) -> bool:
        """Run it, and tell whether it was stopped by a signal."""
        try:
            dispatcher.run(until_idle=until_idle)
            return dispatcher.was_stopped
        finally:
            dispatcher.close()
