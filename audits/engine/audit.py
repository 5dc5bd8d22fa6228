"""The job kind ``audit``: run the checks that the criteria name, in their order, and give each one's result.

Everything ends as a result. A check that breaks, has wrong parameters or is not installed is an ``error`` with its
reason, and the others run on; only what no check could work without (the model, the tables, the criteria) ends the job.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from audits.engine.catalogue import ENTRIES, CriteriaError, Entry
from audits.engine.checks import CheckNotInstalledError, PluginError, check_named
from audits.engine.checks.base import Check, CheckContext, CheckResult
from audits.engine.checks.rows import Rows, Task
from workers.context import JobContext
from workers.datasets.arrays import read_table, select
from workers.datasets.schema import Schema, SchemaError
from workers.frameworks.base import Model
from workers.frameworks.loading import load_model
from workers.protocol import JobError
from workers.signature import Signature, SignatureError

logger = logging.getLogger(__name__)

#: A traceback is evidence, not a log: its end says where.
TRACEBACK_CHARACTERS = 8000


@dataclass(frozen=True)
class _Subject:
    """What all checks of one audit share."""

    job: JobContext
    model: Model
    task: Task
    audited: Rows
    training: Rows | None
    facts: Mapping[str, Any]


def run(context: JobContext) -> dict[str, Any]:
    """Run an audit; see the contract of the job kind for parameters and value.

    Raises:
        JobError: parameters that are not an audit's, a model that does not load, a table that cannot be read.
    """
    asked = _criteria(context.parameters)
    subject = _subject(context)
    results = []
    for number, (check_id, criterion) in enumerate(asked.items()):
        entry = ENTRIES.get(check_id)
        name = f"{check_id} {entry.title}" if entry else check_id
        context.progress(number, len(asked), "checks", name)

        def tell(share: float, words: str, number: int = number, name: str = name) -> None:
            context.progress(number + min(1.0, max(0.0, share)), len(asked), "checks", f"{name}: {words}")

        results.append(run_check(check_id, criterion, subject, tell))
    context.progress(len(asked), len(asked), "checks")
    return {"checks": results}


def run_check(
    check_id: str, criterion: Mapping[str, Any], subject: _Subject, tell: Callable[[float, str], None]
) -> dict[str, Any]:
    """Run one check to its end, whatever it is, and return its result as JSON."""
    started = time.perf_counter()
    seed = seed_of(subject.job.spec.seed, check_id)
    entry = ENTRIES.get(check_id)
    parameters, condition = dict(criterion.get("parameters") or {}), dict(criterion.get("condition") or {})
    check: Check | None = None
    try:
        check = check_named(check_id)
        entry = check.entry
        settings = entry.read_parameters(parameters)
        parameters = {**entry.default_parameters, **parameters}
        condition = entry.read_condition(condition)
        result = check.run(
            CheckContext(
                entry=entry,
                parameters=settings,
                condition=condition,
                job=subject.job,
                model=subject.model,
                task=subject.task,
                audited=subject.audited,
                training=subject.training,
                facts=subject.facts,
                seed=seed,
                generator=np.random.default_rng(seed),
                tell=tell,
            )
        )
        value = _finite(result.to_json())
    except (CheckNotInstalledError, PluginError, CriteriaError) as error:
        value = _error(str(error))
    except JobError as error:
        value = _error(error.detail, code=error.code, place=error.place)
    except Exception as error:  # a check that breaks is a result: what broke, and where
        logger.exception("The check %s broke.", check_id)
        words = str(error).strip().splitlines()
        value = _error(
            f"The check broke: {type(error).__name__}{': ' + words[0] if words else ''}",
            traceback=traceback.format_exc()[-TRACEBACK_CHARACTERS:],
        )
    return _whole(value, check_id, entry, check, parameters, condition, seed, time.perf_counter() - started)


def seed_of(job_seed: int, check_id: str) -> int:
    """Return the seed of one check: it does not depend on which other checks run."""
    digest = hashlib.sha256(f"{job_seed}:{check_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _whole(
    value: dict[str, Any],
    check_id: str,
    entry: Entry | None,
    check: Check | None,
    parameters: dict[str, Any],
    condition: dict[str, Any],
    seed: int,
    seconds: float,
) -> dict[str, Any]:
    """Fill in what every result has."""
    references = [reference.to_json() for reference in entry.references] if entry else []
    for finding in value["findings"]:
        finding["references"] = finding["references"] or references
    limits = " ".join(part for part in (check.limits() if check else "", value["limits"]) if part)
    return {
        "id": check_id,
        "title": entry.title if entry else check_id,
        **value,
        "condition": condition,
        "parameters": parameters,
        "detail": {**value["detail"], "references": references},
        "limits": limits,
        "seed": seed,
        "seconds": round(seconds, 3),
    }


def _error(reason: str, **detail: Any) -> dict[str, Any]:
    return CheckResult(status="error", reason=reason, detail=detail).to_json()


def _finite(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are none become null, NumPy's become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _criteria(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the checks that were asked for, in the order of the catalogue, others behind.

    Raises:
        JobError: ``criteria_unreadable``, when there are none.
    """
    criteria = parameters.get("criteria")
    checks = criteria.get("checks") if isinstance(criteria, Mapping) else None
    if not isinstance(checks, Mapping) or not checks:
        raise JobError("criteria_unreadable", "The criteria name no check to run.", place="criteria.checks")
    order = list(ENTRIES)
    for check_id, criterion in checks.items():
        if not isinstance(criterion, Mapping):
            raise JobError(
                "criteria_unreadable",
                f"The criteria of {check_id} are an object with `parameters` and `condition`.",
                place=f"criteria.checks.{check_id}",
            )
    ranked = sorted(checks, key=lambda check_id: (order.index(check_id) if check_id in order else len(order), check_id))
    return {check_id: dict(checks[check_id]) for check_id in ranked}


def _subject(context: JobContext) -> _Subject:
    """Load the model and read the tables, once for all checks."""
    parameters = context.parameters
    task: Task | Any = parameters.get("task")
    if task not in get_args(Task):
        raise JobError("task_unknown", f"The task {task!r} is not classification or regression.", place="task")
    try:
        signature = Signature.from_json(parameters["signature"])
        schema = Schema.from_json(parameters["schema"])
        stated = parameters.get("training_schema")
        training_schema = schema if stated is None else Schema.from_json(stated)
    except KeyError as error:
        raise JobError("parameter_missing", f"The parameter {error} is missing.", place=str(error.args[0])) from error
    except (SignatureError, SchemaError) as error:
        raise JobError("parameter_out_of_range", str(error), place="signature or schema") from error
    model = load_model(
        context.input("model"),
        framework=str(parameters["framework"]),
        signature=signature,
        device=context.device,
        seed=context.spec.seed,
    )
    audited_table, audited_numbers = select(read_table(context.input("dataset")), schema, parameters.get("split"))
    audited = Rows(audited_table, audited_numbers, schema=schema, model=model, task=task)
    training = None
    if context.has_input("training_data"):
        table, numbers = select(
            read_table(context.input("training_data")), training_schema, parameters.get("training_split")
        )
        training = Rows(table, numbers, schema=training_schema, model=model, task=task)
    return _Subject(context, model, task, audited, training, parameters.get("facts") or {})
