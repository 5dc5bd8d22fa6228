"""What an explanation job writes is what the web process reads: every array, mapped from the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audits import attributions
from governance.storage import store
from tests.audits.engine.explanation_jobs import lay


def test_the_arrays_of_a_job_are_read_from_the_store(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "job", monkeypatch, rows=[7, 0, 59])
    folder.run()
    digests = {path.name: store().put([path.read_bytes()]).digest for path in (folder.path / "outputs").glob("*.npz")}
    read = attributions.read_attributions(digests[attributions.ATTRIBUTIONS_FILE])
    written = folder.arrays()
    for name in ("values", "errors", "base_values", "data", "row_numbers", "scores", "predicted", "ids", "targets"):
        np.testing.assert_array_equal(getattr(read, name), written[name])
    assert isinstance(read.values, np.memmap)
    assert read.values.flags.aligned
    neighbours = attributions.read_neighbours(
        digests[attributions.NEIGHBOURS_FILE], row_count=3, feature_count=len(read.feature_names)
    )
    np.testing.assert_array_equal(neighbours.row_numbers, folder.arrays("neighbours.npz")["row_numbers"])
