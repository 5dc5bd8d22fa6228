"""``.keras`` archives that two readers understand differently, and entries that do not belong into one."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.corpus.case import Case, Workshop
from tests.corpus.gadgets import code as payload_code
from tests.corpus.gadgets import shell
from tests.corpus.keras_files import CONFIG, entries_of, put_code, written
from tests.corpus.pickles import assemble, call
from tests.corpus.zips import Entry, write_zip


def _raw(change: Callable[[bytes], bytes]) -> Callable[[Workshop], Path]:
    """Return a maker that changes the text of a config which holds a Lambda layer."""

    def make(shop: Workshop) -> Path:
        entries = entries_of(shop.samples / "lambda.keras")
        document = json.loads(entries[CONFIG])
        put_code(document, shop)
        return written(shop, entries | {CONFIG: change(json.dumps(document).encode())})

    return make


def _two_configs(shop: Workshop) -> Path:
    entries = entries_of(shop.samples / "lambda.keras")
    document = json.loads(entries[CONFIG])
    put_code(document, shop)
    listed = [Entry(name, content) for name, content in entries.items()]
    listed.append(Entry(CONFIG, json.dumps(document).encode()))
    return write_zip(shop.path(".keras"), listed)


def _with_entry(make_entry: Callable[[Workshop], tuple[str, bytes]]) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        name, content = make_entry(shop)
        return written(shop, entries_of(shop.samples / "model.keras") | {name: content})

    return make


def _hostile_pickle(shop: Workshop) -> bytes:
    return assemble(call("os:system", shell(shop)), shop.rng, protocol=4)


def _module(shop: Workshop) -> tuple[str, bytes]:
    return f"{shop.word()}.py", payload_code(shop).encode()


def _with_asset(shop: Workshop) -> Path:
    words = {"assets/layers/string_lookup/vocabulary.txt": f"{shop.word()}\n{shop.word()}_2".encode()}
    return written(shop, entries_of(shop.samples / "lookup.keras") | words)


def _arrays(shop: Workshop) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    hostile = np.array(None, dtype=object)
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(hostile))
    with zipfile.ZipFile(archived := io.BytesIO(), "w") as archive:
        archive.writestr("a.npy", buffer.getvalue() + _hostile_pickle(shop))
    return "model.weights.npz", archived.getvalue()


_LAMBDA, _JSON, _ENTRY = ("ART-01.lambda",), ("ART-02.json",), ("ART-02.unknown_entry",)


def _case(name: str, says: str, make: Callable[[Workshop], Path], rules: tuple[str, ...], bite: str) -> Case:
    return Case(f"keras/{name}", says, make, rules, "keras", bite)


CASES: tuple[Case, ...] = (
    _case(
        "key_twice",
        "A class is stated twice; the last one counts.",
        _raw(lambda text: text.replace(b'"class_name": "Lambda"', b'"class_name": "Dense", "class_name": "Lambda"')),
        _JSON,
        "keras",
    ),
    _case(
        "escaped",
        "A class in escapes.",
        _raw(lambda text: text.replace(b'"Lambda"', b'"\\u004c\\u0061mbda"')),
        _LAMBDA,
        "keras",
    ),
    _case("utf_16", "A config in UTF-16.", _raw(lambda text: text.decode().encode("utf-16")), _JSON, "keras"),
    _case(
        "byte_order_mark",
        "A config behind a byte order mark.",
        _raw(lambda text: b"\xef\xbb\xbf" + text),
        _JSON,
        "keras",
    ),
    _case(
        "infinity",
        "A number that is none.",
        _raw(lambda text: text.replace(b'"trainable": true', b'"trainable": Infinity', 1)),
        _JSON,
        "keras",
    ),
    _case("two_configs", "Two configs; Keras reads the last one.", _two_configs, ("ART-02.duplicate_name",), "keras"),
    _case("module", "A Python module in the archive.", _with_entry(_module), _ENTRY, "each.source"),
    _case(
        "pickle",
        "A pickle in the archive.",
        _with_entry(lambda shop: (f"{shop.word()}.pkl", _hostile_pickle(shop))),
        _ENTRY,
        "each.pickle",
    ),
    _case("asset", "Words of a layer, beside others in its config.", _with_asset, _ENTRY, "keras.words"),
    _case("arrays", "A second file of weights.", _with_entry(_arrays), _ENTRY, "each.array"),
)
