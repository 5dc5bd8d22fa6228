"""Readers of JSON, TOML and protobuf that differ in what they take of a key that stands twice, or in capitals."""

from __future__ import annotations

import ast
import configparser
import json
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.corpus.trusting.loader import Loader, reading

Pairs = list[tuple[str, Any]]
#: Entries of an archive that are documents.
_DOCUMENTS = ("config.json", "metadata.json", "model.json")


def documents(path: Path) -> Iterator[str]:
    """Return the texts of all documents of an archive, as UTF-8."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.rpartition("/")[2] in _DOCUMENTS:
                yield archive.read(name).decode("utf-8-sig")


def first_wins(pairs: Pairs) -> dict[str, Any]:
    """Take the first of equal keys, as readers that search a document do (yyjson)."""
    return dict(reversed(pairs))


def without_case(pairs: Pairs) -> dict[str, Any]:
    """Take keys for equal whose letters are, and the last of them, as Go's ``encoding/json`` does."""
    return {key.casefold(): value for key, value in pairs}


def _two_keys(path: Path) -> dict[str, Any]:
    """Read each document with the first of keys that differ by case, and with the last of them."""

    def first(pairs: Pairs) -> dict[str, Any]:
        return without_case(pairs[::-1])

    texts = list(documents(path))
    return {
        "first": [json.loads(text, object_pairs_hook=first) for text in texts],
        "without case": [json.loads(text, object_pairs_hook=without_case) for text in texts],
    }


def _parse(path: Path) -> None:
    """Parse every document, with numbers of any length, as Python did before 3.10.7."""
    sys.set_int_max_str_digits(0)
    for text in documents(path):
        document = json.loads(text)
        if "keras_version" in document:
            [int(part) for part in document["keras_version"].split(".")]


def _manifest(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("assay.toml")


def _toml(text: str) -> Any:
    """Return what ``[package]`` says under the names that the format knows, all of which are in small letters."""
    return {key: value for key, value in tomllib.loads(text)["package"].items() if key.islower()}


def _lines(text: str) -> Any:
    """Read ``[package]`` line by line, as readers of ini files do; the last of keys that differ by case counts."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    return {key: ast.literal_eval(value) for key, value in parser["package"].items()}


def _marked(content: bytes) -> str:
    """Decode a text by its byte order mark, as editors and shells do."""
    return content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8")


def _two_manifests(path: Path) -> dict[str, Any]:
    return {
        "tomllib": reading(lambda file: _toml(_manifest(file).decode()), path),
        "lines": reading(lambda file: _lines(_manifest(file).decode()), path),
        "marked": reading(lambda file: _toml(_marked(_manifest(file))), path),
    }


def _parse_manifest(path: Path) -> None:
    tomllib.loads(_manifest(path).decode())


def fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Walk the fields of a protobuf message; what is cut off is read as far as it goes.

    Source: the wire format of Protocol Buffers.
    """
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while place < len(content):
            byte = content[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return value

    while place < len(content):
        key = number()
        kind = key & 7
        if kind == 0:
            yield key >> 3, number()
            continue
        size = number() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, content[place : place + size]
        place += size


def inside(content: bytes, *keys: int) -> Iterator[bytes]:
    """Return all values at the end of a path of fields, each in a message of the one before."""
    for key, value in fields(content):
        if keys and key == keys[0]:
            yield from inside(value, *keys[1:]) if len(keys) > 1 else (value,)


def by_field(content: bytes, *, choose: Callable[[Any, Any], Any]) -> dict[int, Any]:
    """Return the fields of a message, of equal ones what ``choose`` takes of the first and the later."""
    read: dict[int, Any] = {}
    for key, value in fields(content):
        read[key] = choose(read[key], value) if key in read else value
    return read


LOADERS = {
    "json": Loader(_parse, "exhausts"),
    "json.case": Loader(_two_keys, "disagrees"),
    "toml": Loader(_parse_manifest, "exhausts"),
    "toml.two": Loader(_two_manifests, "disagrees"),
}
