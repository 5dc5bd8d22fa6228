"""An explanation that is cut goes on where its last part ended and gives the same bytes, whatever memory it may use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audits.engine.explainers.request import LEAST_MEMORY_BYTES
from audits.engine.explanation.keeping import rows_of_slab
from tests.audits.engine.explanation_jobs import Cut, cut_after, lay, numbers_table
from workers.protocol import CHECKPOINT_FOLDER, JobError

MIB = 1024 * 1024
ASKED = {"rows": 50, "background_rows": 6, "tolerance": 0.2}


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, str]]:
    folder = lay(tmp_path / "undisturbed", monkeypatch, **ASKED)
    return folder.run(), folder.digests


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_cut_run_goes_on_and_gives_the_same_bytes(
    parts: int, undisturbed: tuple[dict[str, Any], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "cut", monkeypatch, **ASKED)
    with cut_after(parts, monkeypatch), pytest.raises(Cut):
        folder.run()
    folder.told.clear()
    with cut_after(1000, monkeypatch) as began:
        value = folder.run(attempt=2)
    assert began == [16 * parts]
    assert (value, folder.digests) == undisturbed
    assert any("explained before this attempt" in message for _, _, message in folder.told) == (parts > 0)


def test_a_run_that_is_cut_in_every_attempt_comes_to_its_end(
    undisturbed: tuple[dict[str, Any], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "cut", monkeypatch, **ASKED)
    for attempt in range(1, 4):
        with cut_after(1, monkeypatch) as began, pytest.raises(Cut):
            folder.run(attempt=attempt)
        assert began == [16 * (attempt - 1)]
    assert (folder.run(attempt=4), folder.digests) == undisturbed


def test_a_run_that_was_cut_behind_its_last_part_explains_nothing_again(
    undisturbed: tuple[dict[str, Any], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "cut", monkeypatch, **ASKED)
    folder.run()
    with cut_after(0, monkeypatch) as began:
        monkeypatch.setattr("audits.engine.explanation.measure", lambda *_, **__: [])
        folder.run(attempt=2)
    assert began == []
    assert folder.digests["attributions.npz"] == undisturbed[1]["attributions.npz"]


@pytest.mark.parametrize("stream", ["values", "errors", "base_values", "data", "evaluations", "journal.jsonl"])
def test_of_a_corrupt_checkpoint_nothing_false_is_used(
    stream: str,
    undisturbed: tuple[dict[str, Any], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = lay(tmp_path / "cut", monkeypatch, **ASKED)
    with cut_after(3, monkeypatch), pytest.raises(Cut):
        folder.run()
    path = folder.path / CHECKPOINT_FOLDER / stream
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    assert (folder.run(attempt=2), folder.digests) == undisturbed
    assert "the work goes on behind piece 1" in capsys.readouterr().err


def test_the_checkpoint_of_other_parameters_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "cut", monkeypatch, **ASKED)
    with cut_after(2, monkeypatch), pytest.raises(Cut):
        folder.run()
    other = lay(tmp_path / "other", monkeypatch, **{**ASKED, "seed": 5})
    (folder.path / CHECKPOINT_FOLDER).rename(other.path / CHECKPOINT_FOLDER)
    with cut_after(1000, monkeypatch) as began:
        other.run(attempt=2)
    assert began == [0]


@pytest.mark.parametrize("method", ["permutation", "exact", "kernel", "partition"])
@pytest.mark.parametrize("outputs", ["all", "predicted"])
def test_the_same_bytes_for_any_memory(
    method: str, outputs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"rows": 90, "background_rows": 4, "tolerance": 0.5, "method": method, "outputs": outputs}
    made = []
    for memory_bytes in (LEAST_MEMORY_BYTES, 1024 * MIB):
        folder = lay(
            tmp_path / str(memory_bytes), monkeypatch, table=numbers_table(90), memory_bytes=memory_bytes, **asked
        )
        made.append((folder.run(), folder.digests))
    assert made[0] == made[1]


@pytest.mark.parametrize("memory_bytes", [0, LEAST_MEMORY_BYTES - 1, 1e9, "256 MiB", True])
def test_too_little_memory_and_none_are_refused(
    memory_bytes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobError, match="`memory_bytes` is a whole number from 16,777,216 upwards"):
        lay(tmp_path / "job", monkeypatch, memory_bytes=memory_bytes).run()


def test_rows_are_explained_in_slabs_that_only_their_shape_decides() -> None:
    assert rows_of_slab(30 * 2 * 8) == 8192
    assert rows_of_slab(200 * 10 * 8) == 1024
    assert rows_of_slab(30 * 1000 * 8) == 64
    assert rows_of_slab(2**24) == 64


def test_slabs_are_explained_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audits.engine.explanation.keeping.rows_of_slab", lambda bytes_of_row: 32)
    folder = lay(tmp_path / "job", monkeypatch, **ASKED)
    with cut_after(3, monkeypatch) as began, pytest.raises(Cut):
        folder.run()
    assert began == [0, 0]
    folder.told.clear()
    with cut_after(1000, monkeypatch) as began:
        folder.run(attempt=2)
    assert began == [16]
    done = [done for done, _, message in folder.told if "sweep" in message]
    assert done == sorted(done)
    assert len(folder.arrays()["values"]) == 50
