"""What a file is, by its first bytes and by what its archive holds; never by its name."""

from __future__ import annotations

from collections.abc import Collection
from os import SEEK_END
from typing import BinaryIO

TAKEN = (
    "Assay takes .keras files (Keras 3), .pt2 files (torch.export), model packages, legacy .h5 models, SavedModels and "
    "TorchScript, and weights alone as PyTorch checkpoints, .weights.h5, safetensors or .npz."
)

ZIP_MAGIC = b"PK\x03\x04"
#: The longest header of a safetensors file, for the library that defines the format.
_LONGEST_HEADER = 100 * 1000 * 1000
_TAR_MAGIC, _TAR_MAGIC_OFFSET = b"ustar", 257
#: The number with which torch begins its streams, as a pickle of any protocol has it.
_TORCH_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

PICKLE = "a Python pickle (a scikit-learn model, or the like)"
OLD_TORCH = "a PyTorch checkpoint in the tar format of before 2017 (load it and save it again)"
OLD_EXPORT = "a torch.export archive of an older PyTorch (save it again with PyTorch 2.13)"

#: What is a model, or a part of one, and no format that is read.
OTHER_MODELS = frozenset({PICKLE, OLD_TORCH, OLD_EXPORT})

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "h5"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a compiled program or library (ELF)"),
    (b"MZ", "a Windows program or library"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"PAR1", "a Parquet table"),
    (b"\x1f\x8b", "a gzip file (unpack it and upload what is inside)"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"#!", "a script"),
    (b"<", "a markup document"),
)


def describe_content(head: bytes) -> str | None:
    """Return the format of a file that is no zip archive, what else it seems to be, or None for nothing known."""
    # First, since the length of a header may be the magic number of anything: 640 begins like a pickle, 60 like XML.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
        return "safetensors"
    for magic, description in _MAGIC:
        if head.startswith(magic):
            return description
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1:
        return "state_dict" if _TORCH_MAGIC in head[2:40] else PICKLE
    if head.lstrip()[:1] in (b"{", b"["):
        return "a JSON document"
    return None


def read_head(stream: BinaryIO) -> bytes:
    """Return the first 512 bytes of a stream."""
    stream.seek(0)
    return stream.read(512)


def is_tar(head: bytes) -> bool:
    """Tell whether a file begins with the header of a tar archive."""
    return head[_TAR_MAGIC_OFFSET:].startswith(_TAR_MAGIC)


def ends_like_archive(stream: BinaryIO) -> bool:
    """Tell whether the last bytes are a zip end record, so that a zip reader would take the file."""
    size = stream.seek(0, SEEK_END)
    stream.seek(max(0, size - 22))
    return stream.read(4) == b"PK\x05\x06"


def describe_archive(names: Collection[str]) -> str | None:
    """Return the format of an archive with these entries, what else it seems to be, or None for nothing known."""
    inner = {name.partition("/")[2] for name in names}
    bases = {name.rpartition("/")[2] for name in names}
    if {"config.json", "metadata.json"} <= set(names):
        return "keras"
    if "archive_format" in inner or "models/model.json" in inner:
        return "pt2"
    if "assay.toml" in names:
        return "package"
    if "saved_model.pb" in bases or "saved_model.pbtxt" in bases:
        return "saved_model"
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return "torchscript"
    if "data.pkl" in inner:
        return "state_dict"
    if {"pickle", "storages", "tensors"} <= set(names):
        return OLD_TORCH
    if "serialized_exported_program.json" in bases:
        return OLD_EXPORT
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return None
