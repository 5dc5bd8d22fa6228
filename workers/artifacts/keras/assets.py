"""Vocabularies: the text files of a ``.keras`` that lookup layers keep their words in, one a line.

Which files there have to be follows from the config: a layer that was adapted to data keeps its vocabulary in a file,
one that was given its vocabulary keeps it in the config. Each file is read into its lines and written again from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.artifacts.findings import refusal, shown
from workers.artifacts.source import Container

FOLDER = "assets/"

_FILE = "vocabulary.txt"
_MAX_LINES = 1_000_000
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_CLASSES = frozenset({"IntegerLookup", "StringLookup", "TextVectorization"})
_MODELS = frozenset({"Functional", "Model", "Sequential"})


@dataclass(frozen=True)
class Vocabulary:
    """The lines of one file; the first may be empty, which stands for a mask."""

    name: str
    lines: tuple[str, ...]

    @property
    def content(self) -> bytes:
        return "\n".join(self.lines).encode()


def read_vocabularies(archive: Container, config: Mapping[str, Any], limit: int) -> tuple[Vocabulary, ...]:
    """Return the vocabularies of a ``.keras``, in the order of the layers.

    Args:
        config: the config of the model, in which nothing was found that rejects it.
        limit: the largest size of one file, in bytes.

    Raises:
        RefusalError: a file too many or too few, or one that is not one word a line in every reader.
    """
    expected = expected_files(config)
    for name in archive.entries:
        if name.startswith(FOLDER) and name not in expected:
            raise refusal("ART-02.unknown_entry", f"The entry {shown(name)} is the asset of no layer.", name)
    vocabularies: dict[str, Vocabulary] = {}
    for name, class_name in expected.items():
        if name not in archive.entries:
            raise refusal("ART-02.missing_entry", f"The {class_name} layer has no vocabulary {name!r}.", name)
        lines = _read_lines(archive.read(name, limit), name)
        if class_name == "IntegerLookup" and not all(map(_NUMBER.fullmatch, lines)):
            raise refusal("ART-02.vocabulary", "The vocabulary of an IntegerLookup has a line that is no number.", name)
        vocabularies[name] = Vocabulary(name, lines)
    for name in vocabularies:
        # Keras reads the words of a TextVectorization twice, for the layer and for the lookup inside it.
        outer = name.replace("/_lookup_layer/", "/")
        if outer != name and vocabularies[outer] != Vocabulary(outer, vocabularies[name].lines):
            raise refusal("ART-02.vocabulary", f"The words are not those of {outer!r}, which Keras reads too.", name)
    return tuple(vocabularies.values())


def expected_files(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that the layers of a model keep their vocabularies in, each with the class of its layer."""
    return dict(_expected(config, FOLDER))


def _expected(model: Mapping[str, Any], folder: str) -> Iterator[tuple[str, str]]:
    """Yield the files of the layers of a model inside another.

    Keras names a layer's folder by its class, and numbers those of one class in the order of the layers.
    """
    counts: dict[str, int] = {}
    config = model.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    for layer in layers if isinstance(layers, list) else []:
        if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
            continue  # nothing that Keras could load
        name = _snake_case(layer["class_name"])
        number = counts.get(name, 0)
        counts[name] = number + 1
        inner = f"{folder}layers/{name}_{number}/" if number else f"{folder}layers/{name}/"
        if layer["class_name"] in _MODELS:
            yield from _expected(layer, inner)
        elif layer["class_name"] in _CLASSES and layer["config"].get("vocabulary") is None:
            if layer["class_name"] == "TextVectorization":
                yield f"{inner}_lookup_layer/{_FILE}", layer["class_name"]
            yield f"{inner}{_FILE}", layer["class_name"]


def _snake_case(name: str) -> str:
    """Spell a class as Keras does in the names of folders."""
    spaced = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", spaced).lower()


def _read_lines(content: bytes, name: str) -> tuple[str, ...]:
    if content.count(b"\n") >= _MAX_LINES:
        raise refusal("ART-02.too_large", f"The vocabulary has more than {_MAX_LINES:,} lines.", name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal("ART-02.vocabulary", f"Byte {error.start:,} of the vocabulary is not UTF-8.", name) from None
    lines = text.split("\n")
    if text.splitlines() != (lines[:-1] if lines[-1] == "" else lines):
        detail = "A word of the vocabulary holds a character that Keras takes for the end of a line."
        raise refusal("ART-02.vocabulary", detail, name)
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if line in seen or "\0" in line or (not line and number > 1):
            detail = f"Line {number:,} of the vocabulary ({shown(line)}) is empty, or stands there a second time."
            raise refusal("ART-02.vocabulary", detail, name)
        seen.add(line)
    return tuple(lines)
