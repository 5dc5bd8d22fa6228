"""The archive of ``keras.Model.save``: config, weights and vocabularies, each parsed and written anew."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workers.artifacts import strict_json
from workers.artifacts.canonical import CanonicalArchive
from workers.artifacts.findings import Finding, refusal, shown, verdict_of
from workers.artifacts.hdf5.tree import Tree
from workers.artifacts.hdf5.weights import read_weights, rewrite_weights
from workers.artifacts.keras import assets
from workers.artifacts.keras.assets import Vocabulary
from workers.artifacts.keras.config import check_config
from workers.artifacts.region import RandomAccess, Region
from workers.artifacts.source import Source

_METADATA, _CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
_ENTRIES = (_METADATA, _CONFIG, WEIGHTS)
_MAX_METADATA_BYTES = 64 * 1024


@dataclass(frozen=True)
class KerasFile:
    """A ``.keras`` that was read; nothing of it was loaded."""

    version: str
    config: dict[str, Any]
    weights: Tree
    vocabularies: tuple[Vocabulary, ...]
    findings: tuple[Finding, ...]
    format: str = "keras"
    framework: str = "keras"

    @property
    def compile_config(self) -> dict[str, Any] | None:
        """How the model was compiled, as Keras wrote it."""
        value = self.config.get("compile_config")
        return value if isinstance(value, dict) else None

    def write(self, source: Source, target: Path) -> None:
        """Write the canonical file: the weights array by array, the vocabularies word by word."""
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            rewritten = Path(folder, "rewritten.h5")
            with open_weights(source) as weights:
                rewrite_weights(weights, self.weights, rewritten)
            with CanonicalArchive(target) as out, rewritten.open("rb") as weights:
                metadata = {"keras_version": self.version, "date_saved": "1980-01-01@00:00:00"}
                out.add(_METADATA, json.dumps(metadata).encode())
                out.add(_CONFIG, json.dumps(self.config, allow_nan=False).encode())
                pieces = iter(lambda: weights.read(1024 * 1024), b"")
                out.add_stream(WEIGHTS, rewritten.stat().st_size, pieces)
                for vocabulary in self.vocabularies:
                    out.add(vocabulary.name, vocabulary.content)


def read_keras(source: Source, custom: Mapping[str, str] = MappingProxyType({})) -> KerasFile:
    """Read every entry of a ``.keras``; ``custom`` names what a package brings along beside Keras' own.

    Raises:
        RefusalError: an entry too many or too few, JSON that is not strict, weights that are more than arrays.
    """
    archive = source.entries
    for name in archive.entries:
        if name not in _ENTRIES and not name.startswith(assets.FOLDER):
            raise refusal("ART-02.unknown_entry", f"The entry {shown(name)} does not belong into a .keras.", name)
    for name in _ENTRIES:
        if name not in archive.entries:
            raise refusal("ART-02.missing_entry", f"A .keras has an entry {name!r}; this one does not.", name)
    version = _version(strict_json.parse(archive.read(_METADATA, _MAX_METADATA_BYTES), _METADATA))
    config = strict_json.parse(archive.read(_CONFIG, strict_json.MAX_BYTES), _CONFIG)
    findings = check_config(config, custom)
    # What a config says that is rejected anyhow is not looked into further.
    is_rejected = verdict_of(findings) == "rejected"
    vocabularies = () if is_rejected else assets.read_vocabularies(archive, config, source.limits.json_bytes)
    with open_weights(source) as stream:
        weights = read_weights(stream, WEIGHTS, source.limits)
    return KerasFile(version, config, weights, vocabularies, findings)


@contextmanager
def open_weights(source: Source) -> Iterator[RandomAccess]:
    """Open the weights, in which the HDF5 reader jumps back and forth: where they lie, or unpacked if they are packed.

    Keras stores them as they are. Their checksum was compared when the archive was read.
    """
    archive = source.entries
    offset = archive.offset_of(WEIGHTS)
    if offset is not None:
        yield Region(source.stream, offset, archive.entries[WEIGHTS].size_bytes)
        return
    with tempfile.TemporaryFile() as stream:
        for piece in archive.chunks(WEIGHTS):
            stream.write(piece)
        yield stream


def _version(document: Any) -> str:
    version = document.get("keras_version") if isinstance(document, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"3\.[0-9]{1,3}\.[0-9A-Za-z.]{1,20}", version):
        raise refusal("ART-02.schema", f"The file was written by Keras {shown(version)}; Keras 3 is taken.", _METADATA)
    return version
