"""Whatever bytes an HDF5 file has, its inspection ends in a verdict, soon, and never in an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.artifacts import hdf5_files
from tests.workers.artifacts.hdf5_files import as_h5py_reads, as_we_read, written
from workers.artifacts.findings import RefusalError
from workers.artifacts.inspection import inspect


def mixed(file: Any) -> None:
    hdf5_files.weights(file)
    file.attrs["list"] = [f"layer_{number}" for number in range(30)]
    for number in range(40):
        file[f"other/array_{number}"] = np.zeros(number, "int8")


FILE = written(mixed)
#: Where the structures are: all but the bytes of the arrays.
PLACES = [at for at in range(len(FILE)) if any(FILE[max(0, at - 16) : at + 16])]
_NUMBERS = st.sampled_from([0, 1, 7, 8, 0xFF, 0xFFFF, 2**31, 2**32 - 1, 2**63, 2**64 - 1, len(FILE)])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_are_a_verdict_and_never_an_exception(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(PLACES))
        if data.draw(st.booleans()):
            content[at] ^= data.draw(st.integers(1, 255))
        else:
            content[at // 8 * 8 : at // 8 * 8 + 8] = data.draw(_NUMBERS | st.integers(0, len(FILE))).to_bytes(
                8, "little"
            )
    path = tmp_path / "changed.h5"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))])
    inspection = inspect(path, filename=path.name)
    assert inspection.verdict in ("registered", "rejected")
    json.dumps(inspection.to_json(), allow_nan=False)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_taken_after_a_change_is_read_as_h5py_reads_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    taken = 0
    for _ in range(400):
        content = bytearray(FILE)
        content[generator.integers(len(content))] ^= int(generator.integers(1, 256))
        try:
            ours = as_we_read(bytes(content))
        except RefusalError:
            continue
        taken += 1
        assert ours == as_h5py_reads(bytes(content))
    assert 0 < taken < 400


def test_a_file_of_many_small_objects_is_read_in_time_that_grows_with_its_size() -> None:
    """Twice the members take less than four times as long, in the same process."""
    import time

    def seconds(count: int) -> float:
        content = written(lambda file: [file.create_group(f"group/{number}") for number in range(count)])
        best = []
        for _ in range(3):
            start = time.perf_counter()
            hdf5_files.tree_of(content)
            best.append(time.perf_counter() - start)
        return min(best)

    assert seconds(2000) < 4 * seconds(1000)
