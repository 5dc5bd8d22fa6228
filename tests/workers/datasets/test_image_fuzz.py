"""Damaged images and damaged archives: every file is a row or the upload is refused, and nothing else is raised."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.datasets.pictures import archive, encoded, noise
from tests.workers.datasets.uploads import read_upload
from workers.datasets.images.decoding import ImageProblem, decode, shape_of
from workers.protocol import JobError

COLOUR = noise(12, 10, 3)
SEEDS = [
    encoded(COLOUR),
    encoded(COLOUR, "JPEG"),
    encoded(COLOUR, "JPEG", progressive=True),
    encoded(COLOUR, "WEBP"),
    encoded(COLOUR, "BMP"),
    encoded(noise(12, 10, 1), "GIF"),
]
SMALL = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
Damage = list[tuple[int, bytes]]


def damage(longest: int) -> st.SearchStrategy[Damage]:
    return st.lists(st.tuples(st.integers(0, longest), st.binary(min_size=0, max_size=6)), min_size=1, max_size=4)


def damaged(content: bytes, places: Damage) -> bytes:
    """Overwrite bytes at some places; where there are none to write, cut the file off there."""
    for place, put in places:
        at = place % (len(content) + 1)
        content = content[:at] + put + content[at + len(put) :] if put else content[:at]
    return content


# What Pillow warns about in a damaged file, it then reads or refuses.
@pytest.mark.filterwarnings("ignore::UserWarning")
@SMALL
@given(seed=st.sampled_from(SEEDS), places=damage(2_000))
def test_a_damaged_image_is_a_picture_or_a_problem(seed: bytes, places: Damage) -> None:
    content = damaged(seed, places)
    try:
        shape = shape_of(content)
        picture = decode(content)
    except ImageProblem:
        return
    assert picture.shape == shape
    assert np.asarray(picture.image).size == np.prod(shape)


@pytest.mark.filterwarnings("ignore::UserWarning")
@SMALL
@given(places=st.lists(damage(700), min_size=1, max_size=3))
def test_every_file_of_an_archive_is_a_row(tmp_path_factory: pytest.TempPathFactory, places: list[Damage]) -> None:
    broken = [damaged(SEEDS[number % len(SEEDS)], place) for number, place in enumerate(places)]
    files = {f"cat/{number}.png": encoded(COLOUR) for number in range(4)}
    files |= {f"dog/{number}.png": content for number, content in enumerate(broken)}
    path = archive(tmp_path_factory.mktemp("fuzz") / "data.zip", files)
    table = read_upload(path, filename="data.zip")
    assert table.num_rows == len(files)
    for there, problem in zip(table["image"].is_valid().to_pylist(), table["image.problem"].to_pylist(), strict=True):
        assert there is (problem is None)
    assert table["image"].slice(0, 4).null_count == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
@SMALL
@given(places=damage(5_000))
def test_a_damaged_archive_is_refused_or_has_its_rows(tmp_path_factory: pytest.TempPathFactory, places: Damage) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for number, content in enumerate(SEEDS):
            target.writestr(zipfile.ZipInfo(f"cat/{number}.png"), content, zipfile.ZIP_DEFLATED)
    path = tmp_path_factory.mktemp("fuzz") / "data.zip"
    path.write_bytes(damaged(stream.getvalue(), places))
    try:
        table = read_upload(path, filename="data.zip")
    except JobError:
        return
    assert table.num_rows == len(SEEDS)
