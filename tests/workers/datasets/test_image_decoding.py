"""One image of an upload: what is taken, how it comes out, and what is refused with which sentence."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.workers.datasets.pictures import encoded, noise, png_chunk, png_of, saved
from workers.datasets.images import decoding, shaping
from workers.datasets.images.decoding import ImageProblem, decode, shape_of

COLOUR, GREY = noise(12, 10, 3), noise(12, 10, 1)
PHOTO = encoded(COLOUR, "JPEG")


def palette(*, transparent: bool = False) -> bytes:
    image = Image.fromarray(COLOUR).quantize(16)
    return saved(image, "PNG", transparency=0) if transparent else saved(image, "GIF")


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(COLOUR, "JPEG", exif=exif, quality=95)


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (encoded(COLOUR), (12, 10, 3)),
        (encoded(GREY), (12, 10, 1)),
        (encoded(COLOUR, "BMP"), (12, 10, 3)),
        (encoded(COLOUR, "WEBP", lossless=True), (12, 10, 3)),
        (encoded(COLOUR, "WEBP"), (12, 10, 3)),
        (encoded(noise(12, 10, 4), "WEBP"), (12, 10, 4)),
        (encoded(noise(12, 10, 4)), (12, 10, 4)),
        (PHOTO, (12, 10, 3)),
        (encoded(COLOUR, "JPEG", progressive=True), (12, 10, 3)),
        (palette(), (12, 10, 3)),
        (palette(transparent=True), (12, 10, 4)),
        (saved(Image.fromarray(GREY).convert("1")), (12, 10, 1)),
        (saved(Image.fromarray(noise(12, 10, 4)).convert("LA")), (12, 10, 4)),
    ],
)
def test_images_of_eight_bits_are_taken(content: bytes, shape: tuple[int, ...]) -> None:
    assert shape_of(content) == decode(content).shape == shape


def test_pixels_come_out_as_they_went_in() -> None:
    for pixels in (COLOUR, GREY, noise(12, 10, 4)):
        picture = decode(encoded(pixels))
        assert np.array_equal(shaping.fitted(picture, picture.shape, resize=False).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_its_camera_turned_is_turned_back(orientation: int) -> None:
    content = rotated(orientation)
    upright = Image.open(io.BytesIO(content))
    turns = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a.transpose(1, 0, 2), 2), 8: np.rot90,
    }  # fmt: skip
    picture = decode(content)
    assert picture.shape == shape_of(content)
    assert np.array_equal(np.asarray(picture.image), turns[orientation](np.asarray(upright)))


def text_bomb() -> bytes:
    return png_of(4, 4, png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000))), png_chunk(b"IDAT", b""))


def many_scans() -> bytes:
    start = PHOTO.index(b"\xff\xda")
    return PHOTO[:start] + PHOTO[start:-2] * 101 + PHOTO[-2:]


def huge_webp() -> bytes:
    body = b"\x10\0\0\0" + (16_382).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + body


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "It is empty."),
        (png_of(40_000, 40_000, png_chunk(b"IDAT", zlib.compress(bytes(10)))), "40,000 x 40,000 pixels"),
        (png_of(2**31 - 1, 2**31 - 1, png_chunk(b"IDAT", b"")), "pixels; an image of at most 50 megapixels"),
        (huge_webp(), "16,383 x 16,383 pixels"),
        (text_bomb(), "Its header cannot be read"),
        (many_scans(), "more than 100 scans"),
        (animated("GIF"), "It is an animation (GIF)"),
        (animated("WEBP"), "It is an animation (WEBP)"),
        (animated("PNG"), "It is an animation (PNG)"),
        (saved(Image.fromarray(noise(8, 8, 1).astype(np.uint16) * 200)), "16 bits a channel"),
        (png_of(8, 8, png_chunk(b"IDAT", zlib.compress(bytes(8 * 49))), depth=16), "16 bits a channel"),
        (saved(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "of the mode CMYK"),
        (encoded(COLOUR)[:-60], "It does not decode"),
        (PHOTO[:-40], "It does not decode"),
        (encoded(COLOUR, "WEBP")[:60], "."),
        (b"\x89PNG\r\n\x1a\n", "Its header cannot be read"),
        (b"RIFF\0\0\0\0WEBPnone", "a WebP begins with"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<!doctype html><html>", "markup, such as HTML"),
        (b"%PDF-1.7", "a PDF"),
        (b"II*\0" + bytes(20), "a TIFF; save it as PNG"),
        (b"not an image at all", "PNG, JPEG, WebP, BMP and GIF are taken"),
    ],
)
def test_everything_else_is_a_problem_with_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(ImageProblem) as problem:
        decode(content)
    assert sentence.lower() in str(problem.value).lower()
    assert str(problem.value).endswith(".")


def test_a_header_is_enough_to_refuse_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(Image.Image, "load", never)
    for content in (png_of(40_000, 40_000), huge_webp(), many_scans()):
        with pytest.raises(ImageProblem):
            decode(content)


def test_the_most_pixels_that_are_taken_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 120)
    assert decode(encoded(COLOUR)).shape == (12, 10, 3)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 119)
    with pytest.raises(ImageProblem):
        shape_of(encoded(COLOUR))


@pytest.mark.parametrize(
    ("pixels", "shape", "mode"),
    [(GREY, (12, 10, 3), "RGB"), (COLOUR, (12, 10, 1), "L"), (COLOUR, (12, 10, 4), "RGBA"), (COLOUR, (6, 7, 3), "RGB")],
)
def test_a_stated_shape_is_made_where_nothing_is_guessed(
    pixels: np.ndarray[Any, Any], shape: tuple[int, int, int], mode: str
) -> None:
    fitted = shaping.fitted(decode(encoded(pixels)), shape, resize=True)
    oracle = Image.fromarray(pixels).convert(mode).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    assert np.array_equal(fitted, np.asarray(oracle).reshape(shape))


def test_transparency_is_dropped_only_where_there_is_none() -> None:
    opaque = np.dstack([COLOUR, np.full((12, 10), 255, np.uint8)])
    assert np.array_equal(shaping.fitted(decode(encoded(opaque)), (12, 10, 3), resize=True), COLOUR)
    with pytest.raises(ImageProblem, match="It is transparent in places"):
        shaping.fitted(decode(encoded(noise(12, 10, 4))), (12, 10, 3), resize=True)


def test_another_shape_is_a_problem_where_none_was_stated() -> None:
    with pytest.raises(ImageProblem, match="It is 10 x 12 RGB, while most are 8 x 8 grey"):
        shaping.fitted(decode(encoded(COLOUR)), (8, 8, 1), resize=False)


def test_the_most_common_shape_is_chosen_and_ties_are_broken_the_same_way() -> None:
    assert shaping.most_common([(8, 8, 1), (9, 9, 3), (9, 9, 3)]) == ((9, 9, 3), 2, 3)
    assert shaping.most_common([(9, 9, 3), (8, 8, 1)]) == ((8, 8, 1), 1, 2)
    assert shaping.most_common([]) is None
