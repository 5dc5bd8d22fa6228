"""The weights of a ``.keras`` are read where they lie, and nothing around them can be."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from workers.artifacts.inspection import inspect
from workers.artifacts.region import Region
from workers.artifacts.rewrite import rewrite


@pytest.fixture
def region() -> Region:
    """Return the four bytes in the middle of a file of ten."""
    return Region(io.BytesIO(b"???abcd???"), 3, 4)


def test_a_region_is_read_as_a_file_of_its_own(region: Region) -> None:
    assert (region.seek(0, os.SEEK_END), region.seek(1)) == (4, 1)
    assert (region.read(2), region.read(2), region.read(2)) == (b"bc", b"d", b"")


@pytest.mark.parametrize("start", [0, 2, 4, 5, 100])
def test_nothing_behind_a_region_is_read(region: Region, start: int) -> None:
    region.seek(start)
    assert region.read(100) == b"abcd"[start:]


def test_nothing_before_a_region_is_reached(region: Region) -> None:
    for offset, whence in ((-1, os.SEEK_SET), (-5, os.SEEK_END), (0, os.SEEK_CUR)):
        with pytest.raises(ValueError, match="no byte"):
            region.seek(offset, whence)
    with pytest.raises(ValueError, match="say how many"):
        region.read(-1)


def test_two_regions_of_one_file_do_not_disturb_each_other() -> None:
    file = io.BytesIO(b"abcdef")
    first, second = Region(file, 0, 3), Region(file, 3, 3)
    assert (first.read(1), second.read(2), first.read(2), second.read(1)) == (b"a", b"de", b"bc", b"f")


def test_stored_weights_are_not_copied_to_be_inspected(
    keras_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the weights were copied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert inspect(keras_file, filename=keras_file.name).verdict == "registered"


def test_packed_weights_are_read_alike(keras_file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.keras"
    with zipfile.ZipFile(keras_file) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    written = {}
    for path in (keras_file, packed):
        target_path = tmp_path / f"rewritten-{path.name}"
        rewrite(path, inspect(path, filename=path.name), target_path)
        written[path] = target_path.read_bytes()
    assert written[keras_file] == written[packed]
