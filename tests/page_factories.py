"""Evidence that has ended, as pages and reports show it, with charts that were drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils import timezone

from audits.models import Audit, CheckResult, Explanation, Finding
from governance.models import DatasetVersion, Job, JobState, ModelVersion, Policy, StoredFile
from governance.storage import store
from tests import attribution_files, factories
from validators.engine.screening.catalogue import ENTRIES
from validators.models import (
    Cleaning,
    Comparison,
    ExpectationSuite,
    RequiredSuite,
    Restoration,
    Screening,
    Split,
    SuiteProposal,
    Validation,
)
from validators.rows import COLUMNS
from workers.charts import BLUE, draw, house_spec
from workers.protocol import digest_of_json

ENVIRONMENT = {"python": "3.11.7", "packages": {"torch": "2.13.0", "numpy": "2.4.6"}, "device": "cpu", "sandbox": True}


def stored(content: bytes | str) -> StoredFile:
    """Put content into the store of the test."""
    return store().put([content.encode() if isinstance(content, str) else content])


def rows_file(lines: Sequence[tuple[Any, ...]], names: Sequence[str] = COLUMNS) -> StoredFile:
    """Put unexpected rows into the store as a validation leaves them: Parquet, one line a row and expectation."""
    table = pa.table({name: [line[index] for line in lines] for index, name in enumerate(names)})
    content = io.BytesIO()
    pq.write_table(table, content)
    return stored(content.getvalue())


def ended_job(kind: str, *, state: str = JobState.SUCCEEDED, ago: timedelta = timedelta(hours=1), **fields: Any) -> Job:
    """Return a job that ended some time ago."""
    now = timezone.now()
    defaults: dict[str, Any] = {
        "state": state,
        "attempt": 1,
        "devices": ["cpu"],
        "worker": "worker-a",
        "started_at": now - ago,
        "finished_at": now - ago + timedelta(seconds=47),
        "environment": ENVIRONMENT,
        "timings": {"import": 1.31, "work": 44.2, "store": 0.02},
        "peak_memory_bytes": 611_000_000,
    }
    return factories.JobFactory(kind=kind, **{**defaults, **fields})


def chart(id: str, caption: str, points: list[dict[str, Any]], *, x: str, y: str, mark: str = "line") -> dict[str, Any]:
    """Draw and store a chart, as a job that has ended leaves it."""
    label = f"{caption} {len(points)} points."
    spec = house_spec(
        {
            "width": 420,
            "height": 170,
            "description": label,
            "data": {"values": points},
            "mark": {"type": mark, "color": BLUE},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": x},
                "y": {"field": "y", "type": "quantitative", "title": y},
            },
        }
    )
    return {
        "id": id,
        "caption": caption,
        "label": label,
        "svg": f"{id}.svg",
        "spec": f"{id}.vl.json",
        "svg_digest": stored(draw(spec)).digest,
        "spec_digest": stored(json.dumps(spec)).digest,
        "table": {"columns": [x, y], "rows": [[point["x"], point["y"]] for point in points]},
    }


def robustness_chart() -> dict[str, Any]:
    points = [{"x": eps / 100, "y": 0.93 - 0.052 * eps} for eps in range(0, 16, 3)]
    return chart("curve", "Accuracy halves near eps 0.09. n = 171 rows.", points, x="eps", y="accuracy")


def metric(
    name: str, value: float | None, low: float | None, high: float | None, n: int, **more: Any
) -> dict[str, Any]:
    return {"name": name, "value": value, "low": low, "high": high, "n": n, "unit": "", "note": "", **more}


def check_results() -> list[dict[str, Any]]:
    """Return one check of each status, two of them failed: one at a severity that blocks, one not."""
    return [
        {
            "check_id": "ART-01",
            "title": "Code in the artefact",
            "status": "passed",
            "reason": "The inspection read 31 entries and found no code.",
            "metrics": [metric("findings", 0, None, None, 31)],
            "condition": {"max": 0},
            "detail": {"limits": "What the model computes.", "seed": 0},
            "seconds": 0.02,
        },
        {
            "check_id": "DAT-03",
            "title": "Rows of the evaluation data in the training data",
            "status": "failed",
            "severity": "medium",
            "reason": "0.58 % of the audited rows are also in the training data.",
            "metrics": [metric("share of rows", 0.0058, 0.001, 0.032, 171)],
            "condition": {"max": 0.001, "high_above": 0.01},
            "detail": {"limits": "Rows that are the same person with other numbers.", "seed": 0},
            "seconds": 0.4,
        },
        {
            "check_id": "PER-01",
            "title": "Task performance against floor and baseline",
            "status": "passed",
            "reason": "The lower bound lies above the baseline of 0.632.",
            "metrics": [
                metric("accuracy", 0.959, 0.918, 0.98, 171),
                metric("balanced accuracy", 0.953, 0.911, 0.982, 171),
            ],
            "condition": {"min": 0.632},
            "parameters": {"metric": "default", "minimum_rows": 30},
            "detail": {"limits": "How the model does on other hospitals.", "seed": 0, "baseline": 0.632},
            "seconds": 0.7,
        },
        {
            "check_id": "ROB-01",
            "title": "Accuracy under white-box attack",
            "status": "failed",
            "severity": "high",
            "reason": "Robust accuracy is 0.18 of clean accuracy at eps 0.10; the condition asks for 0.50.",
            "metrics": [metric("robust / clean", 0.18, 0.12, 0.25, 164, note="PGD, 2 restarts")],
            "condition": {"min": 0.5, "high_below": 0.25},
            "parameters": {"eps": 0.1, "restarts": 2},
            "charts": [robustness_chart()],
            "detail": {"limits": "Attacks that change several features beyond eps.", "seed": 20261120},
            "seconds": 41.2,
        },
        {
            "check_id": "PRI-01",
            "title": "Membership inference by loss threshold",
            "status": "error",
            "reason": "The losses of 3 rows are not finite (rows 18, 40, 77).",
            "condition": {"max": 0.6},
            "detail": {"limits": "Stronger attacks with shadow models.", "seed": 0},
            "seconds": 1.1,
        },
        {
            "check_id": "FAIR-01",
            "title": "Differences between groups of a protected column",
            "status": "not_applicable",
            "reason": "The data set has no column of role protected.",
            "condition": {"max": 0.1},
            "detail": {"limits": "", "seed": 0},
        },
        {
            "check_id": "EXP-01",
            "title": "Explanation admission",
            "status": "skipped",
            "reason": "The check was not selected for this audit; its policy asks for it.",
            "condition": {"max": 0.05},
            "detail": {},
        },
    ]


def audit(
    *,
    version: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
    policy: Policy | None = None,
    checks: list[dict[str, Any]] | None = None,
    verdict: str = "failed",
    ago: timedelta = timedelta(hours=1),
) -> Audit:
    """Return an audit that has ended, with its results and the finding of its failed checks."""
    version = version or factories.ModelVersionFactory()
    dataset = dataset or factories.DatasetVersionFactory()
    checks = check_results() if checks is None else checks
    by_id = {check["check_id"]: check for check in checks}
    criteria = {
        "policy": "standard/1",
        "blocks": ["critical", "high"],
        "checks": {
            id: {"condition": check.get("condition", {}), "parameters": check.get("parameters", {}), "selected": True}
            for id, check in by_id.items()
        },
    }
    statuses = [check["status"] for check in checks]
    made = Audit.objects.create(
        version=version,
        dataset=dataset,
        training_data=version.training_data,
        policy=policy or Policy.objects.filter(name="standard").first() or factories.PolicyFactory(name="standard"),
        criteria=criteria,
        criteria_digest=digest_of_json(criteria),
        version_digest=version.digest,
        dataset_digest=dataset.digest,
        verdict=verdict,
        verdict_reason="One check did not meet its condition at a severity that blocks, and two checks gave no result.",
        coverage={
            "selected": len(checks),
            "applicable": sum(status != "not_applicable" for status in statuses),
            "with_result": sum(status in ("passed", "failed") for status in statuses),
            "by_status": {status: statuses.count(status) for status in set(statuses)},
        },
        digest=digest_of_json({"audit": str(version), "checks": checks}),
        job=ended_job("audit", ago=ago, subject=f"{version.ref} on {dataset.ref}"),
        created_by=factories.person("dave", "auditors"),
    )
    CheckResult.objects.bulk_create(CheckResult(audit=made, **check) for check in checks)
    Finding.objects.bulk_create(
        Finding(
            audit=made,
            version=version,
            dataset_digest=dataset.digest,
            check_id=check["check_id"],
            severity=check["severity"],
            title=f"{check['title']}: condition not met",
            detail=check["reason"],
            remedy="Train with adversarial examples, or narrow the intended use.",
            references=[{"framework": "ATLAS", "id": "AML.T0015", "title": "MITRE ATLAS", "checked": "transcribed"}],
            owner=version.model.owner,
            raised_by=made.created_by,
        )
        for check in checks
        if check["status"] == "failed"
    )
    return made


def explanation(
    *,
    version: ModelVersion | None = None,
    dataset: DatasetVersion | None = None,
    charts: list[dict[str, Any]] | None = None,
) -> Explanation:
    """Return an admitted explanation of three rows of two features; one chart is drawn where none are given."""
    version = version or factories.ModelVersionFactory()
    dataset = dataset or factories.DatasetVersionFactory()
    measures = [
        {
            "name": "additivity_residual",
            "title": "Additivity residual, largest",
            "note": "values plus base give back the model's output",
            "value": 3.1e-6,
            "bound": 1e-4,
            "n": 3,
            "unit": "rows",
            "met": True,
            "applicable": True,
        }
    ]
    files = {"attributions.npz": stored(attribution_files.npz(attribution_files.three_rows())).digest}
    if charts is None:
        points = [{"x": 0.41, "y": 1.0}, {"x": 0.2, "y": 2.0}]
        charts = [
            chart("importance", "One feature carries 67 %. Mean over 3 rows.", points, x="mean", y="place", mark="bar")
        ]
    return Explanation.objects.create(
        version=version,
        dataset=dataset,
        background=dataset,
        parameters={"method": "permutation", "tolerance": 0.05, "seed": 41, "rows": 3},
        quality={"additivity_residual": 3.1e-6},
        admitted=True,
        reasons=[],
        summary={
            "measures": measures,
            "sentence": "All 1 bounded measures are within their bounds. A report may rest on these values.",
            "unit": "logit of yes",
            "feature_names": ["age", "income"],
            "rows": 3,
            "split": "test",
            "background_rows": 40,
            "background_digest": dataset.digest,
        },
        charts=charts,
        files=files,
        digest=digest_of_json({"explanation": version.ref, "files": files}),
        job=ended_job("explanation", subject=f"{version.ref} on {dataset.ref}"),
        created_by=factories.person("dave", "auditors"),
    )


SUITE_RESULTS: list[dict[str, Any]] = [
    {
        "id": "a",
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "repaid"},
        "severity": "critical",
        "status": "passed",
        "observed": None,
        "unexpected_count": 0,
        "element_count": 40,
        "unexpected_percent": 0.0,
        "mostly": 1.0,
        "message": "",
        "sentence": "Values of repaid are not missing.",
    },
    {
        "id": "b",
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "age", "min_value": 18, "max_value": 100},
        "severity": "warning",
        "status": "failed",
        "observed": None,
        "unexpected_count": 3,
        "element_count": 40,
        "unexpected_percent": 7.5,
        "mostly": 1.0,
        "message": "",
        "sentence": "Values of age are between 18 and 100.",
    },
]

PROFILE: dict[str, Any] = {
    "age": {
        "missing": 2,
        "distinct": 31,
        "lowest": 16,
        "highest": 90,
        "median": 42,
        "mean": 43.1,
        "histogram": [
            {"low": low, "high": low + 10, "count": count}
            for low, count in zip(range(10, 90, 10), (1, 5, 9, 11, 7, 4, 2, 1), strict=True)
        ],
    },
    "income": {"missing": 0, "distinct": 40, "lowest": 7200.0, "highest": 312_000.0, "median": 38_400.0},
    "repaid": {
        "missing": 0,
        "distinct": 2,
        "most_frequent": "yes",
        "most_frequent_share": 0.8,
        "values": [{"value": "yes", "count": 32}, {"value": "no", "count": 8}],
    },
}


def suite() -> ExpectationSuite:
    document = {"name": "applicants-suite", "expectations": []}
    return ExpectationSuite.objects.get_or_create(
        name="applicants-suite",
        number=3,
        defaults={"document": document, "digest": digest_of_json(document), "created_by": factories.owner()},
    )[0]


def validation(
    dataset: DatasetVersion, *, results: list[dict[str, Any]] | None = None, success: bool = True
) -> Validation:
    """Return a validation that has ended, against the suite that the data set requires."""
    results = SUITE_RESULTS if results is None else results
    RequiredSuite.objects.get_or_create(
        dataset=dataset.dataset, defaults={"suite": suite(), "set_by": factories.owner()}
    )
    return Validation.objects.create(
        dataset=dataset,
        suite=suite(),
        dataset_digest=dataset.digest,
        success=success,
        results=results,
        rows=rows_file(
            [
                (number, result["id"], result["type"], "age", str(-number), "It is below 0.")
                for result in results
                for number in range(result["unexpected_count"] or 0)
            ]
        ),
        result_file=stored("{}"),
        row_count=sum(result["unexpected_count"] or 0 for result in results),
        digest=digest_of_json({"validation": dataset.ref, "results": results}),
        job=ended_job("validation", subject=f"{dataset.ref} against {suite().ref}"),
        created_by=factories.owner(),
    )


def parquet(table: pa.Table) -> StoredFile:
    """Put a table into the store as Parquet, in row groups of two rows."""
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=2)
    return stored(content.getvalue())


def removed_rows() -> pa.Table:
    """Return three rows that left, as a cleaning writes them: two for one rule, one for two."""
    marks = pa.table(
        {
            "_row": [4, 9, 31],
            "_action": ["quarantine", "quarantine", "drop"],
            "_expectation": ["b", "b", "b"],
            "_reason": ["Not met: age lies between 18 and 100."] * 2
            + ["Not met: age is there; age lies between 18 and 100."],
            "_steps": pa.array([[0], [0], [0, 1]], pa.list_(pa.int64())),
        }
    )
    own = {"age": [16.0, 17.0, None], "income": [7200.0, 8100.0, 9000.0], "repaid": ["yes", "no", "<b>no</b>"]}
    return pa.table({**{name: marks[name] for name in marks.column_names}, **own})


def changed_cells() -> pa.Table:
    """Return three cells that changed, as a cleaning writes them."""
    return pa.table(
        {
            "row": [2, 2, 7],
            "column": ["age", "income", "income"],
            "before": ["130", None, None],
            "after": ["100", "38400", "38400"],
            "reason": ["Clipped to at most 100.", *["Filled in with the median of the 36 others."] * 2],
            "expectation": ["c", "d", "d"],
            "step": [2, 3, 3],
        }
    )


def step_report(
    number: int, action: str, column: str, sentence: str, *, rows: int = 0, cells: int = 0
) -> dict[str, Any]:
    return {
        "number": number,
        "action": action,
        "column": column,
        "expectation": "b",
        "rows": rows or cells,
        "cells": cells,
        "holds": True,
        "sentence": sentence,
    }


def cleaning(dataset: DatasetVersion) -> Cleaning:
    """Return a cleaning that has ended, and made the next version."""
    cleaned = factories.DatasetVersionFactory(
        dataset=dataset.dataset, cleaned_from=dataset, row_count=37, filename="", upload=None, profile=PROFILE
    )
    standing = {"status": "passed", "unexpected_count": 0}
    rule = {"id": "b", "severity": "critical", "sentence": "age lies between 18 and 100"}
    report = {
        "rows_in": 40,
        "rows_out": 37,
        "rows_quarantined": 3,
        "rows_by_action": {"quarantine": 2, "drop": 1, "dedupe": 0},
        "rows_flagged": 0,
        "cells_changed": 3,
        "columns": {"age": 1, "income": 2},
        "content_digest": cleaned.content_digest,
        "steps": [
            step_report(0, "quarantine", "age", "Rows whose age is outside 18 to 100 were put aside.", rows=2),
            step_report(1, "drop", "age", "Rows without an age were dropped.", rows=1),
            step_report(2, "clip", "age", "Ages were clipped.", cells=1),
            step_report(3, "impute", "income", "Incomes were filled in.", cells=2),
        ],
        "rules": [{**rule, "before": {"status": "failed", "unexpected_count": 3}, "after": standing}],
        "rules_not_met": {"before": 1, "after": 0},
    }
    return Cleaning.objects.create(
        dataset=dataset,
        suite=suite(),
        plan=[{"action": "quarantine", "column": "age"}],
        cleaned_to=cleaned,
        report=report,
        quarantine=parquet(removed_rows()),
        changes=parquet(changed_cells()),
        job=ended_job("cleaning", subject=dataset.ref),
        created_by=factories.owner(),
    )


SPLIT_PLAN = {"fractions": {"train": 0.8, "test": 0.2}}
SPLIT_REPORT: dict[str, Any] = {
    "parts": [
        {"part": "train", "rows": 80, "share": 0.8, "asked": 0.8},
        {"part": "test", "rows": 20, "share": 0.2, "asked": 0.2},
    ],
    "target": {
        "column": "repaid",
        "classes": [
            {"value": "no", "shares": {"train": 0.25, "test": 0.3}},
            {"value": "yes", "shares": {"train": 0.75, "test": 0.7}},
        ],
    },
}
COMPARISON: dict[str, Any] = {
    "matched_by": {"column": "id", "reason": "Rows are matched by id."},
    "rows": {"before": 100, "after": 101, "added": 2, "removed": 1, "changed": 1, "same": 98, "order_changed": False},
    "cells_changed": 1,
    "cells_listed": 1,
    "columns": [
        {
            "name": "age",
            "status": "changed",
            "before": {"role": "feature", "type": "float", "stored_as": "double"},
            "after": {"role": "feature", "type": "float", "stored_as": "double"},
            "cells_changed": 1,
            "distance": {
                "name": "Kolmogorov-Smirnov", "value": 0.31, "chance": 0.19,
                "n_before": 100, "n_after": 101, "gained": [], "lost": [],
            },
        },
    ],
    "places": [{"column": "age", "chunk": 1}],
    "place_count": 1,
    "examples": [
        {"change": "changed", "key": "7", "row_before": 6, "row_after": 6, "column": "age", "before": "1", "after": "2"}
    ],
}  # fmt: skip


SUGGESTIONS: list[dict[str, Any]] = [
    {
        "id": "a-columns",
        "type": "expect_table_columns_to_match_set",
        "kwargs": {"column_set": ["age", "income"], "exact_match": True},
        "severity": "critical",
        "meta": {},
        "column": "",
        "sentence": "the columns are age, income, in any order",
        "why": "The data set has 2 columns; training finds them by name.",
        "evidence": {"columns": 2},
    },
    {
        "id": "b-age",
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "age", "min_value": 18, "max_value": 90},
        "severity": "warning",
        "meta": {"clean": {"action": "quarantine"}},
        "column": "age",
        "sentence": "age lies between 18 and 90",
        "why": "Seen 18 to 72; below it ends there.",
        "evidence": {
            "rows": 32,
            "lowest": 18,
            "highest": 72,
            "fit": {"rows": 32, "failed": 0},
            "holdout": {"rows": 8, "failed": 0},
        },
    },
]


def split(dataset: DatasetVersion) -> Split:
    """Return a split that has ended, with the version that it made."""
    job = ended_job("split")
    made = factories.DatasetVersionFactory(
        dataset=dataset.dataset, split_from=dataset, job=job, profile=dataset.profile
    )
    return Split.objects.create(
        dataset=dataset, plan=SPLIT_PLAN, split_to=made, report=SPLIT_REPORT, job=job, created_by=job.created_by
    )


def proposal(
    dataset: DatasetVersion | None = None, *, suggestions: list[dict[str, Any]] | None = None
) -> SuiteProposal:
    """Return a proposal whose job has ended, with two suggestions or those that are given."""
    dataset = dataset or factories.DatasetVersionFactory(profile=PROFILE)
    kept = SUGGESTIONS if suggestions is None else suggestions
    job = ended_job("suggestion")
    return SuiteProposal.objects.create(
        dataset=dataset,
        dataset_digest=dataset.content_digest,
        measured={"rows": 40, "fit_rows": 32, "holdout_rows": 8, "proposed": 3},
        suggestions=kept,
        suggestion_count=len(kept),
        job=job,
        created_by=job.created_by,
    )


def comparison() -> Comparison:
    """Return a comparison that has ended."""
    before = factories.DatasetVersionFactory(profile=PROFILE)
    after = factories.DatasetVersionFactory(dataset=before.dataset, profile=PROFILE)
    job = ended_job("comparison")
    return Comparison.objects.create(
        before=before,
        after=after,
        before_digest=before.content_digest,
        after_digest=after.content_digest,
        result=COMPARISON,
        differences=stored(b"PAR1"),
        job=job,
        created_by=job.created_by,
    )


def detection(detector: str, status: str = "found", **fields: Any) -> dict[str, Any]:
    """Return what a detector found, as the record keeps it; by default one row of 40."""
    entry = ENTRIES[detector]
    found = {
        "detector": detector,
        "title": entry.title,
        "action": entry.action,
        "parameters": entry.default_parameters,
        "status": status,
        "sentence": "1 row of 40 has a value far outside.",
        "count": int(status == "found"),
        "unit": "rows",
        "share": {"value": 0.025, "low": 0.004, "high": 0.129, "n": 40, "method": "Wilson, 95%"},
        "columns": [],
        "column_count": 0,
        "bounds": [],
        "charts": [],
        "detail": {},
        "looked_at": None,
        "rows": [],
        "limits": "Faults inside the usual range.",
        "seed": 7,
        "seconds": 0.1,
    }
    return {**found, **fields}


def screening(
    dataset: DatasetVersion,
    *,
    purpose: str = "quality",
    against: DatasetVersion | None = None,
    detections: list[dict[str, Any]] | None = None,
) -> Screening:
    """Return a screening that has ended; by default it found one value far outside."""
    if detections is None:
        detections = [
            detection(
                "iqr",
                columns=[{"column": "age", "score": 0.025, "reason": "1 value outside 0 to 110."}],
                column_count=1,
                bounds=[{"column": "age", "lower": 0.0, "upper": 110.0}],
                rows=[
                    {
                        "row": 7,
                        "column": "age",
                        "score": 12.5,
                        "reason": "999 lies 12.5 interquartile ranges above 110.",
                    }
                ],
            ),
            detection("label_issues", "not_found", sentence="No label of 40 looks wrong."),
        ]
    names = ("row", "detector", "column", "score", "reason")
    return Screening.objects.create(
        dataset=dataset,
        dataset_digest=dataset.content_digest,
        against=against,
        against_digest="" if against is None else against.content_digest,
        purpose=purpose,
        detectors={entry["detector"]: entry["parameters"] for entry in detections},
        detections=detections,
        rows=rows_file([(7, "iqr", "age", 12.5, "999 lies far above 110.")], names),
        row_count=1,
        digest=digest_of_json({"dataset": dataset.content_digest, "detections": detections}),
        job=ended_job("screening", subject=dataset.ref),
        created_by=factories.person("dave", "auditors"),
    )


def restoration(made: Cleaning, *, rows: Sequence[int] = (4,)) -> Restoration:
    """Return a restoration that has ended, and made the next version."""
    restored = factories.DatasetVersionFactory(
        dataset=made.dataset.dataset, cleaned_from=made.cleaned_to, row_count=37 + len(rows), filename="", upload=None
    )
    return Restoration.objects.create(
        cleaning=made,
        base=made.cleaned_to,
        rows=list(rows),
        reason="The birth date was checked against the register.",
        restored_to=restored,
        job=ended_job("restoration", subject=restored.ref),
        created_by=factories.owner(),
    )
