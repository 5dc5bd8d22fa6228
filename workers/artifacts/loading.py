"""The job ``model_loading``: load the canonical copy of a released package, and tell what only its code can say.

The package's code runs here, so that everything this job answers may be its invention. That is why the job is one of
its own: the file that it is given was read, rewritten and measured by ``workers.artifacts.job`` in a process that has
never run any of that code, and nothing of what that process found can be changed from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.artifacts.findings import Finding, finding
from workers.artifacts.inspection import reason_of
from workers.context import JobContext
from workers.frameworks.base import Model
from workers.frameworks.loading import load_model
from workers.protocol import JobError
from workers.signature import Signature

#: What a loader may say against a file, and the finding that it is.
_REJECTING = {"model_does_not_load": "SIG-01.load", "signature_does_not_fit": "SIG-01.signature"}

#: As much of a loader's complaint as a result holds.
_LONGEST_DETAIL = 2000


def run(context: JobContext) -> dict[str, Any]:
    """Load the input ``model``; one that does not load is a result with a finding.

    Parameters: ``framework``, and ``signature``, which the model has to have; None where only the model can say it.
    """
    stated = context.parameters["signature"]
    context.progress(0, 1, "models", "Loading the canonical copy")
    model, findings = try_to_load(
        context.input("model"),
        framework=context.parameters["framework"],
        signature=None if stated is None else Signature.from_json(stated),
        device=context.device,
        seed=context.spec.seed,
    )
    context.progress(1, 1, "models", "Loaded")
    return {
        "findings": [entry.to_json() for entry in findings],
        "reason": reason_of(findings) if findings else "",
        "signature": None if model is None else model.signature.to_json(),
        "layers": [] if model is None else model.layers(),
    }


def try_to_load(
    path: Path, *, framework: str, signature: Signature | None, device: str, seed: int
) -> tuple[Model | None, list[Finding]]:
    """Load a canonical copy; return the model, or the finding that says why it is none.

    Raises:
        JobError: what is wrong is not the file: no sandbox, no such device or framework.
    """
    try:
        return load_model(path, framework=framework, signature=signature, device=device, seed=seed), []
    except JobError as error:
        if error.code not in _REJECTING:
            raise
        place = error.place or path.name
        return None, [finding(_REJECTING[error.code], error.detail[:_LONGEST_DETAIL], place)]
