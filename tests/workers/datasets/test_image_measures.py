"""What is measured of an image, against Pillow, SciPy and NumPy, and on images whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageStat
from scipy.ndimage import convolve

from tests.workers.datasets.pictures import noise
from workers.datasets.images import measures
from workers.datasets.images.measures import as_pictures, luma_of, measure

LAPLACE = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])


def photo(size: int = 96, *, seed: int = 0) -> Image.Image:
    """Return a picture with structure: a few coarse patches of colour, enlarged."""
    patches = Image.fromarray(noise(9, 9, 3, seed=seed))
    return patches.resize((size, size), Image.Resampling.BICUBIC)


def measured(image: Image.Image) -> dict[str, float]:
    found = measure(np.asarray(image.convert("L"))[None])
    return {word: values[0].item() for word, values in found.items()}


def bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize(("height", "width"), [(64, 48), (3, 3), (17, 200), (1, 1), (2, 9)])
def test_measures_are_those_of_pillow_and_scipy(height: int, width: int) -> None:
    grey = Image.fromarray(noise(height, width, 1, seed=height))
    found = measured(grey)
    statistics = ImageStat.Stat(grey)
    assert found["brightness"] == pytest.approx(statistics.mean[0] / 255, abs=1e-6)
    assert found["contrast"] == pytest.approx(statistics.stddev[0] / 255, abs=1e-6)
    assert found["entropy"] == pytest.approx(grey.entropy(), abs=1e-5)
    inner = convolve(np.asarray(grey).astype(float), LAPLACE)[1:-1, 1:-1]
    if inner.size:
        assert found["blur"] == pytest.approx(inner.var(), rel=1e-9, abs=1e-5)
    else:
        assert np.isnan(found["blur"])


def test_luma_is_what_pillow_makes_of_colours() -> None:
    pixels = noise(50, 60, 3)
    assert np.array_equal(luma_of(pixels[None])[0], np.asarray(Image.fromarray(pixels).convert("L")))
    assert np.array_equal(luma_of(pixels[None, ..., :1])[0], pixels[..., 0])
    assert np.array_equal(luma_of(noise(5, 5, 1)[None])[0], noise(5, 5, 1))


def test_a_large_image_is_measured_in_strips_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    luma = np.stack([noise(101, 33, 1, seed=seed) for seed in range(3)])
    whole = measure(luma)
    monkeypatch.setattr(measures, "BLOCK_PIXELS", 33 * 3 * 7)
    in_strips = measure(luma)
    assert {word: values.tolist() for word, values in whole.items()} == {
        word: values.tolist() for word, values in in_strips.items()
    }


def test_a_blank_image_has_no_contrast_blur_or_entropy() -> None:
    found = measured(Image.new("L", (40, 40), 7))
    assert found == {"brightness": pytest.approx(7 / 255, abs=1e-6), "contrast": 0, "blur": 0, "entropy": 0, "hash": 0}


@pytest.mark.parametrize("seed", range(5))
def test_planted_faults_move_their_measure(seed: int) -> None:
    sharp = photo(seed=seed)
    blurred = sharp.filter(ImageFilter.GaussianBlur(8))
    dark = sharp.point(lambda value: value // 8)
    assert measured(blurred)["blur"] < measured(sharp)["blur"] / 2
    assert measured(dark)["brightness"] < 0.13 < measured(sharp)["brightness"]
    assert measured(dark)["entropy"] < measured(sharp)["entropy"]


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_have_near_hashes_and_others_have_not(seed: int) -> None:
    original = photo(seed=seed)
    code = int(measured(original)["hash"])
    smaller = original.resize((70, 61), Image.Resampling.BILINEAR)
    brighter = original.point(lambda value: value * 0.9 + 10)
    for near in (smaller, brighter):
        assert bits(code, int(measured(near)["hash"])) <= 4
    for far in (original.transpose(Image.Transpose.FLIP_LEFT_RIGHT), photo(seed=seed + 100)):
        assert bits(code, int(measured(far)["hash"])) >= 12


def test_axes_of_channels_are_found_at_either_end() -> None:
    assert as_pictures(np.zeros((2, 8, 9))).shape == (2, 8, 9)  # type: ignore[union-attr]
    assert as_pictures(np.zeros((2, 8, 9, 3))).shape == (2, 8, 9, 3)  # type: ignore[union-attr]
    assert as_pictures(np.zeros((2, 3, 8, 9))).shape == (2, 8, 9, 3)  # type: ignore[union-attr]
    assert as_pictures(np.zeros((2, 5, 8, 9))) is None
    assert as_pictures(np.zeros((2, 9))) is None
