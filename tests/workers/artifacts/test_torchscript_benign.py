"""What torch scripts and traces is read, quarantined until accepted, and does the same after it was written anew."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.workers.artifacts.scripts import ACCEPTED, entries, linear, loaded, saved, scripted, traced
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite

NAMES = (
    "scripted parts", "traced parts", "frozen parts", "bfloat16", "branches", "scripted recurrent", "traced recurrent",
    "encoder", "frozen encoder", "convolution", "blocks", "tied weights",
)  # fmt: skip


def rewritten(path: Path, target: Path) -> Path:
    """Inspect, accept and write anew."""
    inspection = inspect(path, filename=path.name)
    assert (inspection.verdict, inspection.format, inspection.framework) == ("quarantined", "torchscript", "pytorch")
    assert [finding.id for finding in inspection.findings] == ["ART-03.torchscript"]
    rewrite(path, inspect(path, filename=path.name, accepted=ACCEPTED), target)
    return target


@pytest.mark.parametrize("name", NAMES)
def test_a_script_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    import torch

    from tests.workers.artifacts.script_models import MODELS

    assert set(NAMES) == set(MODELS)
    make, shape = MODELS[name]
    torch.manual_seed(0)
    path = saved(make(), tmp_path / "model.pt")
    rows = torch.randn(shape, dtype=torch.bfloat16 if name == "bfloat16" else torch.float32)
    copy = rewritten(path, tmp_path / "copy.torchscript")
    with torch.no_grad():
        assert torch.equal(loaded(path)(rows), loaded(copy)(rows))
    before, after = loaded(path), loaded(copy)
    assert [key for key, _ in before.named_parameters()] == [key for key, _ in after.named_parameters()]


def test_attributes_come_back_as_they_were(tmp_path: Path) -> None:
    from tests.workers.artifacts.script_models import Parts

    path = saved(scripted(Parts()), tmp_path / "model.pt")
    copy = loaded(rewritten(path, tmp_path / "copy.torchscript"))
    assert copy.names == ["no", 'import os; os.system("x")\n\\']
    assert (copy.count, copy.factors, copy.pair) == (3, {"a": 1.5}, (1, "é"))


def test_a_message_with_odd_letters_is_told_as_it_was(tmp_path: Path) -> None:
    import torch

    from tests.workers.artifacts.script_models import Refusing

    path = saved(scripted(Refusing()), tmp_path / "model.pt")
    copy = loaded(rewritten(path, tmp_path / "copy.torchscript"))
    with pytest.raises(torch.jit.Error, match='not "positive"\n\té \\\\'):
        copy(torch.zeros(2))


def test_the_copy_has_code_pickles_and_tensors_only(tmp_path: Path) -> None:
    import torch

    from tests.workers.artifacts.script_models import Parts

    path = saved(traced(Parts(), torch.zeros(2, 4)), tmp_path / "model.pt")
    assert any(name.endswith(".debug_pkl") for name in entries(path))
    names = set(entries(rewritten(path, tmp_path / "copy.torchscript")))
    assert {"data.pkl", "constants.pkl", "byteorder"} <= names
    assert not [name for name in names if name.endswith(".debug_pkl") or name.startswith("traced_inputs")]


def test_the_same_upload_gives_the_same_copy(tmp_path: Path) -> None:
    path = linear(tmp_path / "model.pt")
    first = rewritten(path, tmp_path / "first.torchscript").read_bytes()
    assert rewritten(path, tmp_path / "second.torchscript").read_bytes() == first
    assert rewritten(tmp_path / "first.torchscript", tmp_path / "third.torchscript").read_bytes() == first


def test_files_beside_the_model_are_left_out_and_told(tmp_path: Path) -> None:
    path = linear(tmp_path / "model.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(archive.namelist()[0].partition("/")[0] + "/extra/notes.txt"), b"notes")
    inspection = inspect(path, filename="model.pt", accepted=ACCEPTED)
    assert inspection.verdict == "registered"
    assert [finding.id for finding in inspection.findings] == ["ART-03.torchscript", "ART-03.extra_files"]
