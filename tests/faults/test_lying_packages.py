"""A released package whose code lies: what was read before it ran stands, and its word is told as that or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from governance.models import Event, Job, JobState, ModelVersion, ModelVersionState
from governance.services import policies, registry
from governance.storage import store
from tests import factories, packages, tiny_models
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite
from workers.frameworks.weights import digest_of_weights
from workers.protocol import digest_of_bytes, digest_of_file

pytestmark = pytest.mark.django_db

ACCEPTED = ["ART-03.package", "ART-03.package_import"]

TOOLS = """
import hashlib, json, os, pathlib, sys
import workers.frameworks.pytorch_package as adapter

def lie(*args, **options):
    return "sha256:" + "f" * 64
"""
#: Replaces what the job computes digests with, writes and moves files with, and every file that it can reach.
LIE = """
hashlib.sha256 = hashlib.file_digest = os.replace = json.loads = lie
for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "workers"]:
    for name in ("digest_of_file", "digest_of_bytes", "digest_of_json", "digest_of_weights", "inspect", "rewrite"):
        if hasattr(module, name):
            setattr(module, name, lie)
for path in [*pathlib.Path("inputs").iterdir(), pathlib.Path("spec.json")]:
    try:
        path.write_bytes(b"forged")
    except OSError:
        pass
adapter.PyTorchPackageModel.layers = lambda self: [
    {"name": "harmless", "kind": "Linear", "output_shape": [-1, 2], "parameter_count": 6}
]
"""
PLANT = """
os.makedirs("outputs", exist_ok=True)
for name in ("rewritten.package", "source_1.txt"):
    pathlib.Path("outputs", name).write_bytes(b"forged")
"""
FORGE_SIGNATURE = """
from workers.signature import Signature

honest = Signature.to_json

def forged(self):
    document = honest(self)
    document["outputs"][0]["classes"] = ["yes", "no"]
    return document

Signature.to_json = forged
"""
FORGE_RESULT = """
from workers.protocol import Result

def forged(self):
    value = {"verdict": "registered", "weights_digest": lie(), "rewritten": "rewritten.package"}
    return {**self.__dict__, "files": {}, "value": {**self.value, **value}}

Result.to_json = forged
"""
END_EARLY = """
result = {
    "job_id": 0, "attempt": 1, "status": "succeeded", "value": {}, "files": {}, "error": None, "timings": {},
    "environment": {}, "peak_memory_bytes": 0, "protocol": 1,
}
pathlib.Path("result.json").write_text(json.dumps(result))
os._exit(0)
"""


@pytest.fixture
def load(tmp_path: Path, work: Callable[..., Job], erin) -> Callable[[str], tuple[ModelVersion, Job]]:
    """Upload a package with this code, which the policy accepts; return its version, inspected and then loaded."""
    document = {"name": "lenient", "tier": "medium", "checks": {"ART-01": {}}, "accepts": ACCEPTED}
    policies.create_policy(document=document, by=erin)

    def run(code: str) -> tuple[ModelVersion, Job]:
        path = packages.pytorch(tmp_path / "package.zip", model=packages.MODEL + code)
        model = factories.RegisteredModelFactory()
        version = registry.upload_version(
            model=model, file=store().put([path.read_bytes()]), filename=path.name, by=model.owner
        )
        inspected, loaded = work(), work()
        assert (inspected.kind, inspected.state) == ("model_inspection", JobState.SUCCEEDED), inspected.error
        assert loaded.kind == "model_loading"
        version = ModelVersion.objects.get(pk=version.pk)
        assert version.job == loaded
        demand_truth(version, path, code)
        return version, loaded

    return run


def demand_truth(version: ModelVersion, path: Path, code: str) -> None:
    """Compare the record with what this process, which runs none of the code, makes of the same file."""
    inspection = inspect(path, filename=path.name, accepted=ACCEPTED)
    target = path.with_suffix(".package")
    rewrite(path, inspection, target)
    assert version.rewritten_id == digest_of_file(target)
    weights = {"answer.weight": tiny_models.LINEAR_WEIGHTS, "answer.bias": tiny_models.LINEAR_BIAS}
    assert version.weights_digest == digest_of_weights(weights)
    assert version.parameter_count == 6
    assert version.inspection["sources"]["model.py"] == digest_of_bytes((packages.MODEL + code).encode())
    assert version.signature["outputs"][0]["classes"] == packages.CLASSES


def test_an_honest_package_is_registered_and_what_its_code_says_is_told_as_that(load):
    version, loaded = load("")
    assert version.state == ModelVersionState.REGISTERED, loaded.error
    assert version.inspection["said_by_code"] == ["layers"]
    assert [layer["kind"] for layer in version.layers] == ["Affine"]
    detail = Event.objects.get(name="version.loaded").detail
    assert (detail["verdict"], detail["said_by_code"]) == ("registered", ["layers"])


def test_code_that_replaces_everything_in_its_process_changes_its_own_word_only(load):
    version, loaded = load(TOOLS + LIE)
    assert version.state == ModelVersionState.REGISTERED, loaded.error
    assert [layer["name"] for layer in version.layers] == ["harmless"]
    assert version.inspection["said_by_code"] == ["layers"]


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (PLANT, "refused_result", "The code wrote rewritten.package"),
        (LIE + PLANT, "protocol_violation", "rewritten.package is not what the result says"),
        (FORGE_SIGNATURE, "refused_result", "another signature than the one that is stated"),
        (FORGE_RESULT, "protocol_violation", "not what the job kind promises"),
        (END_EARLY, "protocol_violation", "The result is that of job 0"),
    ],
    ids=["files", "files of another digest", "signature", "result", "early end"],
)
def test_an_answer_that_is_forged_is_refused_and_the_version_stays_in_quarantine(load, code, error, words):
    version, loaded = load(TOOLS + code)
    assert (loaded.state, loaded.error["code"]) == (JobState.FAILED, error), loaded.error
    assert words in loaded.error["detail"]
    assert version.state == ModelVersionState.QUARANTINED
    assert words in version.state_reason
    assert not Event.objects.filter(name="version.loaded").exists()
