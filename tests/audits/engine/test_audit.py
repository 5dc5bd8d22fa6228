"""An audit gives a result for every check that was asked for, whatever happens in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from audits.engine import audit, checks
from audits.engine.catalogue import ENTRIES, Entry
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric
from audits.results import AUDIT
from tests import tiny_models
from tests.audits.engine.cases import table_of
from tests.numpy_model import NumpyModel
from workers.context import JobContext
from workers.protocol import InputFile, JobError, JobSpec, digest_of_file

NAMES = ["a", "b", "c", "d"]
SCHEMA = {
    "modality": "tabular",
    "columns": {
        **{name: {"role": "feature", "type": "float"} for name in NAMES},
        "sex": {"role": "protected", "type": "category"},
        "label": {"role": "target", "type": "integer"},
        "part": {"role": "split", "type": "category"},
    },
}
FACTS = {
    "inspection": {"verdict": "registered", "findings": []},
    "artifact_digest": "sha256:model",
    "validation": {"id": 1, "status": "passed", "suite": "s/1", "dataset_digest": "sha256:data"},
    "training_dataset_digest": "sha256:data",
}
WEIGHTS = tiny_models.mlp_weights(inputs=4, hidden=8, classes=3)


def numpy_model() -> NumpyModel:
    return NumpyModel(
        WEIGHTS[2], WEIGHTS[3], hidden=WEIGHTS[0], hidden_bias=WEIGHTS[1], activation="relu", columns=NAMES
    )


def job(
    folder: Path, model: Path | None, *, seed: int = 3, messages: int | None = None, **parameters: Any
) -> JobContext:
    """Return an audit job over 400 rows, about half for testing; of the tiny network's labels one in ten is wrong."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 4)).astype(np.float32)
    hidden = np.maximum(features @ WEIGHTS[0] + WEIGHTS[1], 0)
    labels = (hidden @ WEIGHTS[2] + WEIGHTS[3]).argmax(1)
    labels[::10] = (labels[::10] + 1) % 3
    pq.write_table(
        table_of(
            {
                **{name: features[:, place] for place, name in enumerate(NAMES)},
                "sex": np.where(generator.random(400) < 0.5, "f", "m"),
                "label": labels,
                "part": np.where(generator.random(400) < 0.5, "test", "train"),
            }
        ),
        inputs / "table.parquet",
    )
    if model is None:
        (inputs / "model.bin").write_bytes(b"stands for a model")
        model = inputs / "model.bin"
    files = {"model": model.name, "dataset": "table.parquet", "training_data": "table.parquet"}
    known = {
        "framework": "numpy",
        "signature": tiny_models.signature(inputs=4, outputs=3, columns=NAMES),
        "schema": SCHEMA,
        "training_schema": SCHEMA,
        "task": "classification",
        "split": "test",
        "training_split": "train",
        "criteria": {"policy": "standard/1", "checks": {check_id: {} for check_id in ENTRIES}},
        "facts": FACTS,
    }
    spec = JobSpec(
        kind="audit",
        runner="audits.engine.audit:run",
        job_id=1,
        attempt=1,
        seed=seed,
        parameters={**known, **parameters},
        inputs={
            name: InputFile(filename, digest_of_file(inputs / filename), (inputs / filename).stat().st_size)
            for name, filename in files.items()
        },
    )
    return JobContext(spec, folder, message_descriptor=messages)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace loading by a model without a framework; return what was loaded."""
    loaded: list[str] = []

    def load_model(path: Path, **_: Any) -> NumpyModel:
        loaded.append(path.name)
        return numpy_model()

    monkeypatch.setattr(audit, "load_model", load_model)
    return loaded


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Install an object under an id of the entry-point group, as an installed package would."""
    installed: dict[str, str] = {}
    monkeypatch.setattr(
        checks,
        "entry_points",
        lambda group: [EntryPoint(name, value, group) for name, value in installed.items() if group == "assay.checks"],
    )

    def install(check_id: str, found: Any) -> None:
        name = f"planted_{len(installed)}"
        monkeypatch.setattr(f"tests.numpy_model.{name}", found, raising=False)
        installed[check_id] = f"tests.numpy_model:{name}"

    return install


def entry(check_id: str) -> Entry:
    return Entry(check_id, "A planted check", "nothing", "low", {"max": 1.0})


def criteria(*check_ids: str) -> dict[str, Any]:
    return {"checks": {check_id: {} for check_id in check_ids}}


def only(value: dict[str, Any]) -> dict[str, Any]:
    (result,) = value["checks"]
    return dict(result)


def test_every_check_has_a_result_that_follows_the_schema(tmp_path: Path, loads: list[str]) -> None:
    value = audit.run(job(tmp_path, None))
    jsonschema.validate(value, AUDIT)
    json.dumps(value, allow_nan=False)
    assert [result["id"] for result in value["checks"]] == list(ENTRIES)
    by_id = {result["id"]: result for result in value["checks"]}
    assert {result["status"] for result in value["checks"]} <= {"passed", "failed"}
    assert by_id["PER-01"]["status"] == "passed"
    assert by_id["PER-01"]["metrics"][0]["value"] == pytest.approx(0.9, abs=0.04)
    assert loads == ["model.bin"]
    for result in value["checks"]:
        assert result["reason"].endswith((".", ")"))
        assert result["limits"]
        assert result["parameters"] == ENTRIES[result["id"]].default_parameters
        for chart in result["charts"]:
            assert (tmp_path / "outputs" / chart["svg"]).is_file()
            assert (tmp_path / "outputs" / chart["spec"]).is_file()
            assert chart["table"]["rows"]


def test_the_same_job_gives_the_same_numbers_whichever_checks_run(tmp_path: Path, loads: list[str]) -> None:
    whole = {result["id"]: result for result in audit.run(job(tmp_path / "a", None))["checks"]}
    for check_id in ("ROB-01", "CAL-01", "EXP-01"):
        alone = only(audit.run(job(tmp_path / check_id, None, criteria=criteria(check_id))))
        assert alone["metrics"] == whole[check_id]["metrics"]
        assert alone["seed"] == whole[check_id]["seed"]
    other = only(audit.run(job(tmp_path / "b", None, seed=4, criteria=criteria("ROB-01"))))
    assert other["seed"] != whole["ROB-01"]["seed"]


def test_progress_names_each_check(tmp_path: Path, loads: list[str]) -> None:
    read, write = os.pipe()
    audit.run(job(tmp_path, None, messages=write, criteria=criteria("ROB-01", "ART-01")))
    os.close(write)
    with os.fdopen(read) as stream:
        told = [json.loads(line) for line in stream]
    assert {message["unit"] for message in told} == {"checks"}
    assert told[0]["message"] == "ART-01 Code in the artefact"
    assert told[0]["total"] == 2
    done = [message["done"] for message in told]
    assert done == sorted(done)
    assert done[-1] == 2
    assert any(message["message"].startswith("ROB-01 Accuracy under white-box attack: L2") for message in told)


def test_a_check_that_crashes_is_an_error_and_the_others_run_on(
    tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from audits.engine.checks.calibration import Calibration

    def crash(self: Any, context: Any) -> CheckResult:
        raise ZeroDivisionError("no bins\nand more")

    monkeypatch.setattr(Calibration, "run", crash)
    value = audit.run(job(tmp_path, None, criteria=criteria("CAL-01", "PER-01")))
    broken, other = sorted(value["checks"], key=lambda result: result["id"])
    assert (broken["id"], broken["status"], broken["severity"]) == ("CAL-01", "error", "")
    assert broken["reason"] == "The check broke: ZeroDivisionError: no bins"
    assert "in crash" in broken["detail"]["traceback"]
    assert broken["limits"]
    assert other["status"] == "passed"


def test_a_job_error_in_a_check_keeps_its_code_and_place(
    tmp_path: Path, loads: list[str], plugin: Callable[[str, Any], None]
) -> None:
    class Refuses(Check):
        entry = entry("ZZZ-01")

        def run(self, context: CheckContext) -> CheckResult:
            raise JobError("no_rows", "There is nothing here.", place="row 3")

    plugin("ZZZ-01", Refuses)
    result = only(audit.run(job(tmp_path, None, criteria=criteria("ZZZ-01"))))
    assert (result["status"], result["reason"]) == ("error", "There is nothing here.")
    assert (result["detail"]["code"], result["detail"]["place"]) == ("no_rows", "row 3")


def test_a_plugin_is_run_like_a_built_in_check(
    tmp_path: Path, loads: list[str], plugin: Callable[[str, Any], None]
) -> None:
    class Planted(Check):
        """Measures nothing.

        What it does not show: anything.
        """

        entry = entry("ZZZ-01")

        def run(self, context: CheckContext) -> CheckResult:
            status, severity = context.judge(2.0)
            return CheckResult(
                status=status,
                severity=severity,
                reason="It is two.",
                metrics=[Metric("planted", float("nan"), n=context.audited.count)],
                findings=[FindingDraft(severity="low", title="Two", detail="It is two.", remedy="Make it one.")],
                detail={"array": np.arange(3)},
                limits="Nor more.",
            )

    plugin("ZZZ-01", Planted)
    value = audit.run(job(tmp_path, None, criteria={"checks": {"ZZZ-01": {"condition": {"max": 1.5}}, "ART-01": {}}}))
    jsonschema.validate(value, AUDIT)
    assert [result["id"] for result in value["checks"]] == ["ART-01", "ZZZ-01"]
    result = value["checks"][1]
    assert (result["status"], result["severity"], result["condition"]) == ("failed", "low", {"max": 1.5})
    assert result["metrics"][0]["value"] is None
    assert result["detail"]["array"] == [0, 1, 2]
    assert result["limits"] == "anything. Nor more."


def test_a_finding_has_the_references_of_its_check(tmp_path: Path, loads: list[str]) -> None:
    facts = {
        **FACTS,
        "inspection": {"findings": [{"id": "ART-01.pickle", "severity": "critical", "title": "A pickle"}]},
    }
    result = only(audit.run(job(tmp_path, None, facts=facts, criteria=criteria("ART-01"))))
    (finding,) = result["findings"]
    assert {"framework": "OWASP ML", "id": "ML06"}.items() <= finding["references"][3].items()


class OtherName(Check):
    """A check under another id than its own."""

    entry = entry("YYY-01")

    def run(self, context: CheckContext) -> CheckResult:
        return CheckResult(status="passed", reason="Never run.")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "The check is not installed."),
        ("a text", "is not a Check with an entry."),
        (type("Bare", (Check,), {}), "is not a Check with an entry."),
        (OtherName, "its id is YYY-01, not ZZZ-01."),
    ],
)
def test_what_is_not_a_check_is_an_error_by_name(
    tmp_path: Path, loads: list[str], plugin: Callable[[str, Any], None], found: Any, told: str
) -> None:
    if found is not None:
        plugin("ZZZ-01", found)
    value = audit.run(job(tmp_path, None, criteria=criteria("ZZZ-01", "ART-01")))
    jsonschema.validate(value, AUDIT)
    first, result = value["checks"]
    assert first["status"] == "passed"
    assert (result["id"], result["title"], result["status"]) == ("ZZZ-01", "ZZZ-01", "error")
    assert told in result["reason"]


def test_a_plugin_that_does_not_load_is_an_error_that_says_why(
    tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("ZZZ-01", "no.such.module:Check", checks.GROUP)
    monkeypatch.setattr(checks, "entry_points", lambda group: [point])
    result = only(audit.run(job(tmp_path, None, criteria=criteria("ZZZ-01"))))
    assert result["status"] == "error"
    assert "no.such.module:Check does not load: ModuleNotFoundError" in result["reason"]


def test_parameters_that_a_check_does_not_take_are_an_error(tmp_path: Path, loads: list[str]) -> None:
    asked = {"checks": {"ROB-01": {"parameters": {"epsilon": 1}}, "CAL-01": {"condition": {"min": 1}}}}
    by_id = {result["id"]: result for result in audit.run(job(tmp_path, None, criteria=asked))["checks"]}
    assert by_id["ROB-01"]["status"] == by_id["CAL-01"]["status"] == "error"
    assert "ROB-01 has no parameter 'epsilon'" in by_id["ROB-01"]["reason"]
    assert "The condition of CAL-01 has no 'min'" in by_id["CAL-01"]["reason"]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"criteria": {"checks": {}}}, "criteria_unreadable"),
        ({"criteria": None}, "criteria_unreadable"),
        ({"criteria": {"checks": {"ROB-01": 0.5}}}, "criteria_unreadable"),
        ({"task": "ranking"}, "task_unknown"),
        ({"schema": {"modality": "sound", "columns": {}}}, "parameter_out_of_range"),
        ({"signature": {"inputs": []}}, "parameter_out_of_range"),
        ({"split": "holdout"}, "split_unknown"),
    ],
)
def test_what_no_check_could_work_with_ends_the_job(
    tmp_path: Path, loads: list[str], parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(JobError) as caught:
        audit.run(job(tmp_path, None, **parameters))
    assert caught.value.code == code
    assert caught.value.place or code == "split_unknown"


def test_scores_that_are_no_numbers_are_errors_with_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_model(path: Path, **_: Any) -> NumpyModel:
        return NumpyModel(np.full((4, 3), np.nan), columns=NAMES)

    monkeypatch.setattr(audit, "load_model", load_model)
    value = audit.run(job(tmp_path, None))
    by_id = {result["id"]: result for result in value["checks"]}
    for check_id in ("PER-01", "CAL-01", "ROB-01", "PRI-01", "FAIR-01", "EXP-01"):
        assert by_id[check_id]["status"] == "error"
        assert "not a number" in by_id[check_id]["reason"]
    assert by_id["DAT-03"]["status"] == "passed"


@pytest.mark.parametrize("suffix", [".pt2", ".keras"])
def test_both_frameworks_give_the_numbers_that_numpy_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The tiny network as a file of each framework: the attack goes through its own gradients."""
    asked = criteria("PER-01", "ROB-01", "PRI-01", "EXP-01")
    (tmp_path / "theirs" / "inputs").mkdir(parents=True)
    path = tmp_path / "theirs" / "inputs" / f"model{suffix}"
    model = tiny_models.mlp(path, inputs=4, hidden=8, classes=3)
    framework = {".pt2": "pytorch", ".keras": "keras"}[suffix]
    value = audit.run(job(tmp_path / "theirs", model, framework=framework, criteria=asked))
    jsonschema.validate(value, AUDIT)
    monkeypatch.setattr(audit, "load_model", lambda path, **_: numpy_model())
    ours = audit.run(job(tmp_path / "ours", None, criteria=asked))
    for result, expected in zip(value["checks"], ours["checks"], strict=True):
        assert (result["id"], result["status"]) == (expected["id"], expected["status"])
    theirs, known = ({result["id"]: result for result in one["checks"]} for one in (value, ours))
    assert theirs["PER-01"]["metrics"] == known["PER-01"]["metrics"]
    assert theirs["PRI-01"]["metrics"][0]["value"] == pytest.approx(known["PRI-01"]["metrics"][0]["value"], abs=1e-3)
    assert theirs["ROB-01"]["detail"] == known["ROB-01"]["detail"]
    for found, expected in zip(theirs["ROB-01"]["metrics"], known["ROB-01"]["metrics"], strict=True):
        assert 0.5 < found["value"] < 1
        assert found["value"] == pytest.approx(expected["value"], abs=0.011)
