"""Crafts uploads: real exports, and archives changed byte by byte or entry by entry."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workers.artifacts.findings import Finding, RefusalError

MODEL_JSON = "models/model.json"
WEIGHTS_JSON = "data/weights/model_weights_config.json"


def outcome(read: Callable[[], Any]) -> tuple[Any, Finding | None]:
    """Return what a reader returned, or the finding with which it refused; any other exception is a failure."""
    try:
        return read(), None
    except RefusalError as error:
        return None, error.finding


def read_entries(path: Path) -> dict[str, bytes]:
    """Return every entry of an archive, without the root folder of a ``.pt2``."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    if path.suffix == ".pt2":
        return {name.partition("/")[2]: content for name, content in entries.items()}
    return entries


def write_entries(path: Path, entries: Mapping[str, bytes]) -> Path:
    """Write an archive that is canonical as an archive, whatever its entries are."""
    root = f"{path.stem}/" if path.suffix == ".pt2" else ""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(root + name), content)
    return path


def changed(source: Path, target: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Copy an archive with some entries replaced, added, or (None) left out."""
    entries = {name: content for name, content in read_entries(source).items() if changes.get(name, b"") is not None}
    entries.update({name: content for name, content in changes.items() if content is not None})
    return write_entries(target, entries)


def changed_json(source: Path, target: Path, name: str, change: Callable[[Any], None]) -> Path:
    """Copy an archive with one JSON entry changed in place."""
    document = json.loads(read_entries(source)[name])
    change(document)
    return changed(source, target, {name: json.dumps(document).encode()})


def export(path: Path, module: Any, arguments: tuple[Any, ...], *, dynamic: Any = None) -> Path:
    """Export a torch module with an open batch and save it."""
    import torch

    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = tuple({0: batch} for _ in arguments) if dynamic is None else dynamic
    with warnings.catch_warnings():
        # torch names the flat weights of recurrent layers while it traces them.
        warnings.filterwarnings("ignore", message="The tensor attributes", category=UserWarning)
        program = torch.export.export(module, arguments, dynamic_shapes=shapes)
    torch.export.save(program, str(path))
    return path


class Touch:
    """An object whose unpickling creates a file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._marker,)
