"""The reader of ``attributions.npz``: it maps what is stored as it is, loads the rest, and believes nothing."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from audits.attributions import arrays, read_attributions
from audits.attributions.archive import MAX_COMPRESSED_BYTES, ArrayArchive
from governance.exceptions import IntegrityFailure
from tests import attribution_files
from tests.attribution_files import npz, raw_npz, stored, three_rows

pytestmark = pytest.mark.django_db


def read(content: bytes) -> arrays.Attributions:
    return read_attributions(stored(content).digest)


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "compressed"])
def test_arrays_come_back_as_they_were_written(compressed: bool) -> None:
    written = three_rows()

    found = read(npz(written, compressed=compressed))

    np.testing.assert_array_equal(found.values, written["values"])
    np.testing.assert_array_equal(found.errors, written["errors"])
    np.testing.assert_array_equal(found.targets, written["targets"])
    assert found.feature_names == ("age", "income")
    assert found.output_names == ("no", "yes")
    assert found.row_count == 3
    assert isinstance(found.values, np.memmap) is not compressed


def test_a_grid_becomes_one_axis_of_features() -> None:
    found = read(npz(attribution_files.image(side=4)))

    assert found.is_image
    assert found.grid == (4, 4)
    assert found.values.shape == (3, 16, 2)
    assert found.data.shape == (3, 16)


def test_explanations_from_before_scores_were_kept_can_be_read() -> None:
    kept = {
        name: array for name, array in three_rows().items() if name not in ("scores", "predicted", "ids", "targets")
    }

    found = read(npz(kept, compressed=True))

    assert found.scores is None
    assert found.predicted.tolist() == [-1, -1, -1]
    assert found.ids.tolist() == ["", "", ""]


def test_single_precision_is_read_too() -> None:
    written = three_rows()
    written["values"] = written["values"].astype(np.float32)

    assert read(npz(written)).values.dtype == np.float32


def test_opening_and_one_row_read_a_small_part_of_a_large_file() -> None:
    written = attribution_files.table(4_000, 120)
    digest = stored(npz(written)).digest
    tracemalloc.start()
    try:
        found = read_attributions(digest)
        row = arrays.finite(found.values[17])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    np.testing.assert_array_equal(row, written["values"][17])
    assert peak < written["values"].nbytes / 4


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("values", None, "it has no array `values`"),
        ("errors", None, "it has no array `errors`"),
        ("errors", np.zeros((3, 2, 1)), r"`errors` has the shape \[3, 2, 1\], not \[3, 2, 2\]"),
        ("values", np.zeros((3, 2)), r"`values` has the shape \[3, 2\]"),
        ("values", np.zeros((0, 2, 2)), r"`values` has the shape \[0, 2, 2\]"),
        ("values", np.zeros((3, 2, 2), dtype=np.int64), "`values` is of the type int64"),
        ("feature_names", np.array(["age"]), r"`feature_names` has the shape \[1\], not \[2\]"),
        ("feature_names", np.array([1, 2]), "`feature_names` is of the type int64"),
        ("row_numbers", np.array([1, 2, -3]), "a number below 0"),
        ("output_numbers", np.tile([0, 9], (3, 1)), "outputs that the model does not have"),
        ("output_numbers", np.tile([-1, 1], (3, 1)), "outputs that the model does not have"),
        ("scores", np.zeros(3), r"`scores` has the shape \[3\]"),
        ("ids", np.array(["a"]), r"`ids` has the shape \[1\]"),
        ("values", np.asfortranarray(three_rows()["values"]), "Fortran order"),
        ("values", three_rows()["values"].astype(">f8"), "is of the type >f8"),
        ("values", np.zeros((1, 1, 1, 1, 1, 3)), "has the shape"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(name: str, array: np.ndarray | None, said: str) -> None:
    written = three_rows() if array is None else {**three_rows(), name: array}
    if array is None:
        del written[name]

    with pytest.raises(IntegrityFailure, match="The attributions of this explanation cannot be read: .*" + said):
        read(npz(written))


def test_objects_are_never_unpickled() -> None:
    content = npz({**three_rows(), "ids": np.array([{"a": 1}, None, "x"], dtype=object)})

    with pytest.raises(IntegrityFailure, match="is of the type object"):
        read(content)


def test_a_header_that_promises_more_than_there_is_is_refused() -> None:
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 2, 2)})

    with pytest.raises(IntegrityFailure, match="which needs 32,000,000,000"):
        read(raw_npz({"values": written.getvalue() + b"\0" * 64}))


def test_a_file_that_was_cut_off_is_refused() -> None:
    with pytest.raises(IntegrityFailure, match="is damaged"):
        read(npz(three_rows())[:-200])
    with pytest.raises(IntegrityFailure, match="is damaged"):
        read(b"no zip")


def test_a_member_that_lies_elsewhere_than_the_directory_says_is_refused() -> None:
    content = bytearray(npz(three_rows()))
    content[:4] = b"XXXX"

    with pytest.raises(IntegrityFailure, match="is not where the directory says"):
        read(bytes(content))


def test_compressed_arrays_that_would_fill_the_memory_are_refused(tmp_path) -> None:
    path = tmp_path / "bomb.npz"
    path.write_bytes(raw_npz({"values": b"\0" * 1_000_000}, compression=zipfile.ZIP_DEFLATED))
    content = path.read_bytes()
    # The size that the directory claims, at the end of the file.
    place = content.rindex(b"PK\x01\x02") + 24
    path.write_bytes(content[:place] + (MAX_COMPRESSED_BYTES + 1).to_bytes(4, "little") + content[place + 4 :])

    with pytest.raises(ValueError, match="its compressed arrays hold 268,435,457 bytes"):
        ArrayArchive(path)


def test_a_damaged_compressed_member_is_refused() -> None:
    content = bytearray(npz(three_rows(), compressed=True))
    content[60:90] = b"\xff" * 30

    with pytest.raises(IntegrityFailure, match="is damaged"):
        read(bytes(content))


def test_a_file_of_very_many_members_is_refused() -> None:
    with pytest.raises(IntegrityFailure, match="40 members"):
        read(raw_npz({f"array-{place}": b"" for place in range(40)}))


def test_values_that_are_no_numbers_are_found_when_they_are_shown() -> None:
    written = three_rows()
    written["values"][1, 0, 1] = np.nan
    found = read(npz(written))

    with pytest.raises(IntegrityFailure, match="values that are not numbers"):
        arrays.finite(found.values)
