"""Images and archives of them, made in memory, for tests."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from tests.workers.job_folders import job
from workers.datasets import importing
from workers.datasets.arrays import read_table


def noise(height: int = 12, width: int = 10, channels: int = 3, *, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return an image of random pixels; without an axis of channels for one channel."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: np.ndarray[Any, Any], kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file."""
    return saved(Image.fromarray(pixels), kind, **options)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG with this header and these chunks behind it, whatever they say."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def archive(path: Path, files: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip of files."""
    with zipfile.ZipFile(path, "w", method) as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name), content, method)
    return path


def imported(folder: Path, upload: Path, schema: Any = None) -> tuple[dict[str, Any], pa.Table, Path]:
    """Import an upload; return the value of the job, its table, and the folder of its outputs."""
    context = job(
        folder / f"job-{len(list(folder.iterdir()))}",
        kind="dataset_import",
        inputs={"upload": upload},
        parameters={"filename": upload.name, "schema": schema},
    )
    value = importing.run(context)
    outputs = context.folder / "outputs"
    return value, read_table(outputs / "table.parquet"), outputs
