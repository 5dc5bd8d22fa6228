"""The job ``model_inspection`` of files that hold weights and no model: nothing is loaded, and the facts are theirs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.artifacts.weights_files import save
from workers.artifacts import job
from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits
from workers.artifacts.rewrite import rewrite
from workers.artifacts.weights.facts import facts_of_weights
from workers.context import JobContext
from workers.frameworks.weights import digest_of_weights
from workers.protocol import InputFile, JobSpec, canonical_json, digest_of_file

ARRAYS = {
    "block.0.weight": np.arange(6, dtype="f4").reshape(2, 3),
    "block.0.bias": np.zeros(2),
    "scale": np.array(2, "i8"),
    "block.1.weight": np.ones((0, 4), "f2"),
}


def as_state_dict(path: Path) -> Path:
    import torch

    return save(path, {name: torch.from_numpy(array) for name, array in ARRAYS.items()})


def as_stream(path: Path) -> Path:
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    return save(path, tensors, _use_new_zipfile_serialization=False)


def as_safetensors(path: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(ARRAYS, path)
    return path


def as_npz(path: Path) -> Path:
    np.savez(path, **ARRAYS)
    return path


WRITERS = [(as_state_dict, "w.pt"), (as_stream, "w.bin"), (as_safetensors, "w.safetensors"), (as_npz, "w.npz")]


@pytest.fixture
def run_job(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    def run(artifact: Path, **stated: Any) -> tuple[dict[str, Any], Path]:
        folder = tmp_path / "job"
        (folder / "inputs").mkdir(parents=True)
        stored = folder / "inputs" / "artifact"
        stored.write_bytes(artifact.read_bytes())
        spec = JobSpec(
            kind="model_inspection",
            runner="workers.artifacts.job:run",
            job_id=1,
            attempt=1,
            parameters={"filename": artifact.name, "stated_signature": None, "stated_recipe": None, **stated},
            inputs={"artifact": InputFile("artifact", digest_of_file(stored), stored.stat().st_size)},
        )
        value = job.run(JobContext(spec, folder))
        canonical_json(value)
        return value, folder / "outputs"

    return run


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_weights_are_registered_by_what_they_are(
    run_job: Any, tmp_path: Path, write: Callable[[Path], Path], name: str
) -> None:
    value, outputs = run_job(write(tmp_path / name))
    assert value["verdict"] == "registered", value["reason"]
    assert value["format"] == {".pt": "state_dict", ".bin": "state_dict"}.get(Path(name).suffix, name[2:])
    assert value["framework"] == ("pytorch" if value["format"] == "state_dict" else "")
    assert (value["signature"], value["recipe"]) == (None, None)
    assert value["parameter_count"] == 9
    assert value["weights_digest"] == digest_of_weights(ARRAYS)
    assert [(layer["name"], layer["parameter_count"]) for layer in value["layers"]] == [
        ("block.0", 8),
        ("block.1", 0),
        ("scale", 1),
    ]
    assert [path.name for path in outputs.iterdir()] == [value["rewritten"]] == ["rewritten.safetensors"]


def test_the_control_half_takes_the_result(run_job: Any, tmp_path: Path) -> None:
    import jsonschema

    from governance.results import MODEL_INSPECTION

    value, _ = run_job(as_state_dict(tmp_path / "w.pt"))
    jsonschema.validate(value, MODEL_INSPECTION)


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        (
            {
                "stated_signature": {
                    "inputs": [{"name": "x", "shape": [-1, 3], "dtype": "float32"}],
                    "outputs": [{"name": "y", "shape": [-1, 2], "dtype": "float32", "kind": "value"}],
                }
            },
            "SIG-01.signature",
        ),
        ({"stated_recipe": {"loss": "mean_squared_error"}}, "SIG-01.recipe"),
    ],
)
def test_what_is_stated_of_a_model_that_is_not_there_is_refused(
    run_job: Any, tmp_path: Path, stated: dict[str, Any], identifier: str
) -> None:
    value, outputs = run_job(as_npz(tmp_path / "w.npz"), **stated)
    assert (value["verdict"], value["rewritten"]) == ("rejected", None)
    assert [entry["id"] for entry in value["findings"]] == [identifier]
    assert "holds weights and no model" in value["reason"]
    assert not outputs.exists()


def test_a_rejected_file_of_weights_is_a_result(run_job: Any, tmp_path: Path) -> None:
    import torch

    value, _ = run_job(save(tmp_path / "w.pt", torch.nn.Linear(1, 1)))
    assert value["verdict"] == "rejected"
    assert value["reason"].startswith("The file carries a pickle that is not plain tensor data (w/data.pkl, byte ")


def test_types_that_numpy_lacks_have_a_digest_by_their_name(tmp_path: Path) -> None:
    import torch

    digests = set()
    for dtype in (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint8):
        path = save(tmp_path / "w.pt", {"w": torch.zeros(2, dtype=dtype)})
        rewrite(path, inspect(path, filename="w.pt"), tmp_path / "rewritten.safetensors")
        digests.add(facts_of_weights(tmp_path / "rewritten.safetensors", Limits())["weights_digest"])
    assert len(digests) == 5


def test_thousands_of_groups_are_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **{f"g{number}.w": np.zeros(1) for number in range(2100)})
    rewrite(path, inspect(path, filename="w.npz"), tmp_path / "rewritten.safetensors")
    facts = facts_of_weights(tmp_path / "rewritten.safetensors", Limits())
    assert (facts["layers"], facts["parameter_count"]) == ([], 2100)


def test_neither_inspection_nor_rewriting_imports_a_framework(tmp_path: Path) -> None:
    paths = [write(tmp_path / name) for write, name in WRITERS]
    code = (
        "import sys; from pathlib import Path\n"
        "from workers.artifacts.inspection import inspect; from workers.artifacts.rewrite import rewrite\n"
        "for name in sys.argv[1:]:\n"
        "    found = inspect(Path(name), filename=name)\n"
        "    rewrite(Path(name), found, Path(name + '.rewritten.safetensors'))\n"
        "print([name for name in ('torch', 'tensorflow', 'keras', 'safetensors', 'pickle') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['pickle']"), "NumPy imports pickle itself"
