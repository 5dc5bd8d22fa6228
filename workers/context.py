"""What a runner gets: its inputs, a place for outputs, and a way to tell how far it is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from workers.checkpoint import Checkpoint
from workers.protocol import (
    CHECKPOINT_FOLDER,
    INPUTS_FOLDER,
    OUTPUTS_FOLDER,
    JobError,
    JobSpec,
    Json,
    Progress,
    digest_of_json,
    is_plain_name,
)


class JobContext:
    """One job as its runner sees it.

    Attributes:
        spec: what was asked.
        folder: the job folder.
    """

    def __init__(self, spec: JobSpec, folder: Path, *, message_descriptor: int | None = None) -> None:
        self.spec = spec
        self.folder = folder
        self._message_descriptor = message_descriptor

    @property
    def parameters(self) -> dict[str, Json]:
        return self.spec.parameters

    @property
    def device(self) -> str:
        """The first device of the job: ``cpu`` or ``cuda:N``."""
        return self.spec.devices[0]

    def has_input(self, name: str) -> bool:
        return name in self.spec.inputs

    def input(self, name: str) -> Path:
        """Return the path of an input file; its digest was checked before the runner started."""
        try:
            return self.folder / INPUTS_FOLDER / self.spec.inputs[name].filename
        except KeyError:
            raise JobError("input_missing", f"The job has no input named {name!r}.", place=name) from None

    def output(self, filename: str) -> Path:
        """Return the path at which to write an output file of this plain name."""
        if not is_plain_name(filename):
            raise ValueError(f"{filename!r} is not a plain file name")
        folder = self.folder / OUTPUTS_FOLDER
        folder.mkdir(exist_ok=True)
        return folder / filename

    def checkpoint(self, streams: Sequence[str], *, depends_on: Json = None) -> Checkpoint:
        """Return what earlier attempts of this job have finished, as a place to add to; close it in the end.

        The first attempt begins anew, so that a job that is run again by hand computes everything.

        Args:
            streams: the files that a piece adds to.
            depends_on: whatever else the pieces depend on, beside what the job was asked: versions of libraries.
        """
        binding = digest_of_json({"work": self.spec.work_digest, "depends_on": depends_on})
        checkpoint = Checkpoint(self.folder / CHECKPOINT_FOLDER, binding=binding, streams=streams)
        if self.spec.attempt == 1:
            checkpoint.restart()
        if checkpoint.ignored:
            print(checkpoint.ignored, file=sys.stderr)
        return checkpoint

    def progress(self, done: float, total: float, unit: str, message: str = "") -> None:
        """Tell how far the job is; cheap enough to call every epoch or chunk."""
        if self._message_descriptor is None:
            return
        line = json.dumps(Progress(done=done, total=total, unit=unit, message=message).to_json()) + "\n"
        os.write(self._message_descriptor, line.encode())


#: A runner does the work of one job kind and returns the value of its result.
Runner = Callable[[JobContext], dict[str, Json]]
