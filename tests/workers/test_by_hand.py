"""``python -m workers JOB_FOLDER`` by hand: without Django, in the environment that a dispatched job has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from governance import job_kinds
from tests import tiny_models
from tests.workers.child_folders import CHECKOUT, LIMITS, lay, run_dispatched
from tests.workers.job_folders import job, write_table
from tests.workers.loaded_models import framework_of, rows
from workers.protocol import JobSpec, Result

#: What comes before a program where no module of the control half or of its libraries can be imported.
WITHOUT_DJANGO = """
import importlib, os, runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "rest_framework", "knox", "governance"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
sys.path[0] = os.getcwd()  # as python -m has it
"""
RUN_CHILD = 'runpy.run_module("workers", run_name="__main__", alter_sys=True)'
IMPORT_ALL = "[importlib.import_module(name) for name in sys.argv[1:]]"


def run_by_hand(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return without_django(RUN_CHILD, str(folder), *arguments, **variables)


def without_django(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_DJANGO + program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )


def lay_training(folder: Path, model: Path) -> JobSpec:
    """Lay a training job of the tiny classifier and return its spec."""
    x = rows(60, 2)
    table = {"age": x[:, 0], "sum": x[:, 1], "label": ["good" if first > second else "bad" for first, second in x]}
    roles = {"age": "feature", "sum": "feature", "label": "target"}
    context = job(
        folder,
        kind="training",
        inputs={"model": model, "dataset": write_table(model.with_name("table.parquet"), table)},
        parameters={
            "framework": framework_of(model),
            "format": model.suffix[1:],
            "signature": tiny_models.signature(classes=["bad", "good"], columns=["age", "sum"]),
            "schema": {
                "modality": "tabular",
                "columns": {
                    name: {"role": role, "type": "category" if role == "target" else "float"}
                    for name, role in roles.items()
                },
            },
            "recipe": {
                "loss": "cross_entropy",
                "optimizer": {"name": "adam", "learning_rate": 0.05},
                "epochs": 2,
                "batch_size": 16,
                "seed": 5,
            },
            "split": None,
        },
    )
    spec = replace(context.spec, runner="workers.training:run", limits=replace(LIMITS, memory_bytes=16 * 1024**3))
    spec.write(folder)
    return spec


def test_a_training_by_hand_gives_the_weights_of_a_dispatched_one(model_path: Path, tmp_path: Path) -> None:
    """Without Django, and although the person has a Keras configuration that the sandbox does not let the job read."""
    configuration = tmp_path / "home" / ".keras" / "keras.json"
    configuration.parent.mkdir(parents=True)
    configuration.write_text('{"floatx": "float64", "epsilon": 0.1, "backend": "torch"}')
    folder = tmp_path / "by-hand"
    spec = lay_training(folder, tiny_models.linear_classifier(model_path))
    shutil.copytree(folder, tmp_path / "dispatched", ignore=shutil.ignore_patterns("messages"))

    ended = run_by_hand(folder, HOME=str(configuration.parents[1]), KERAS_BACKEND="torch", TF_ENABLE_ONEDNN_OPTS="1")

    assert ended.returncode == 0, ended.stderr
    by_hand = Result.read(folder).value
    dispatched = run_dispatched(spec, tmp_path / "dispatched")[0].value
    assert by_hand is not None
    assert dispatched is not None
    assert by_hand["weights_digest"] == dispatched["weights_digest"]


def test_the_runner_of_every_kind_of_job_needs_no_django() -> None:
    modules = {job_kinds.get(name).runner.partition(":")[0] for name in job_kinds.names()}
    assert len(modules) >= 8

    ended = without_django(IMPORT_ALL, *sorted(modules))

    assert ended.returncode == 0, ended.stderr


def test_a_job_by_hand_gets_no_secret_of_the_person(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    lay(folder, "tell_environment")

    ended = run_by_hand(folder, "--runner-package", "tests.faults", ASSAY_SECRET_KEY="not for jobs", HOME="/root")

    assert ended.returncode == 0, ended.stderr
    value = Result.read(folder).value
    assert value is not None
    environment = value["environment"]
    assert "not for jobs" not in environment.values()
    assert not [name for name in environment if name.startswith("ASSAY_") or name == "PATH"]
    assert Path(environment["HOME"]) == Path(environment["TMPDIR"]) == folder / "tmp"
    assert (environment["OMP_NUM_THREADS"], environment["CUDA_VISIBLE_DEVICES"]) == ("1", "")


@pytest.mark.parametrize("threads", ["", "0", "many"])
def test_a_number_of_threads_that_is_none_is_the_number_of_cores(threads: str, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    lay(folder, "tell_environment")
    run_by_hand(folder, "--runner-package", "tests.faults", OMP_NUM_THREADS=threads)
    value = Result.read(folder).value
    assert value is not None
    assert value["environment"]["OMP_NUM_THREADS"] == str(os.cpu_count())
