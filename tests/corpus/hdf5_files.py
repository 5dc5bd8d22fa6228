"""HDF5: files that point outside, lie about sizes, or hide what a plain walk does not see."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.corpus.case import DECOY, Benign, Case, Unfit, Workshop
from tests.corpus.checkpoints import zip_entries
from tests.corpus.gadgets import shell
from tests.corpus.keras_files import entries_of, written
from tests.corpus.pickles import call, plain
from tests.corpus.zips import zip_bytes

#: Spoils one file of weights.
Trick = Callable[[h5py.File, Workshop], Any]

_LARGE = 2**40


def _group(file: h5py.File, shop: Workshop) -> h5py.Group:
    """Return a group of the file, chosen by the seed."""
    groups: list[h5py.Group] = [file]
    file.visititems(lambda name, item: groups.append(item) if isinstance(item, h5py.Group) else None)
    return shop.rng.choice(groups)


def _decoy_file(shop: Workshop) -> Path:
    """Write an HDF5 file of the host that holds the decoy."""
    path = shop.folder / "host.h5"
    with h5py.File(path, "w") as file:
        file["secret"] = np.frombuffer(DECOY, "<f4")
    return path


def _external_storage(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop).create_dataset(shop.word(), (8,), "<f4", external=[(str(shop.decoy), 0, 32)])


def _external_link(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop)[shop.word()] = h5py.ExternalLink(str(_decoy_file(shop)), "/secret")


def _soft_link(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop)[shop.word()] = h5py.SoftLink(shop.rng.choice(["/layers", "/missing"]))


def _virtual(file: h5py.File, shop: Workshop) -> None:
    layout = h5py.VirtualLayout(shape=(8,), dtype="<f4")
    layout[:] = h5py.VirtualSource(str(_decoy_file(shop)), "secret", shape=(8,))
    _group(file, shop).create_virtual_dataset(shop.word(), layout)


def _shape_bomb(file: h5py.File, shop: Workshop) -> None:
    # No byte is stored: every element is the fill value, once somebody asks for it.
    _group(file, shop).create_dataset(shop.word(), (_LARGE,), "<f4", chunks=(1024,))


def _contiguous_bomb(file: h5py.File, shop: Workshop) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    space = h5py.h5s.create_simple((_LARGE,))
    h5py.h5d.create(_group(file, shop).id, shop.word().encode(), h5py.h5t.IEEE_F32LE, space, properties)


def _compressed_bomb(file: h5py.File, shop: Workshop) -> None:
    # 256 MiB: one chunk of zeros that is compressed once and written many times.
    chunk, count = 2**20, 64
    dataset = _group(file, shop).create_dataset(
        shop.word(), (chunk * count,), "<f4", chunks=(chunk,), compression="gzip", compression_opts=9
    )
    packed = zlib.compress(bytes(chunk * 4), 9)
    for number in range(count):
        dataset.id.write_direct_chunk((number * chunk,), packed)


def _filter(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop).create_dataset(shop.word(), data=np.ones(64, "<f4"), chunks=(64,), shuffle=True, fletcher32=True)


def _reference(file: h5py.File, shop: Workshop) -> None:
    dataset = _group(file, shop).create_dataset(shop.word(), (1,), dtype=h5py.ref_dtype)
    dataset[0] = file.ref


def _variable_text(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop).create_dataset(shop.word(), data=["a", "b" * 1000], dtype=h5py.string_dtype())


def _compound(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop).create_dataset(shop.word(), data=np.zeros(2, [("a", "<f4"), ("b", "<i8")]))


def _hard_link(file: h5py.File, shop: Workshop) -> None:
    group = _group(file, shop)
    group[shop.word()] = file["/"]


def _two_names(file: h5py.File, shop: Workshop) -> None:
    dataset = _group(file, shop).create_dataset(shop.word(), data=np.ones(4, "<f4"))
    file[f"x_{shop.word()}"] = dataset


def _named_type(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop)[shop.word()] = np.dtype("<f8")


def _deep(file: h5py.File, shop: Workshop) -> None:
    group = _group(file, shop)
    for _ in range(shop.rng.randint(1_200, 1_500)):
        group = group.create_group("g")


def _attribute(file: h5py.File, shop: Workshop) -> None:
    _group(file, shop).attrs[shop.word()] = np.arange(8)


def _name(file: h5py.File, shop: Workshop) -> None:
    name = shop.rng.choice([b"\xff\xfe", b"a\nb", b"\x1b[2J", "a\u202eb".encode()])
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(_group(file, shop).id, name, h5py.h5t.IEEE_F32LE, space)


def _free_space(file: h5py.File, shop: Workshop) -> None:
    # Deleted again, an array's bytes stay where they are when something was written behind them.
    group = _group(file, shop)
    name = shop.word()
    group.create_dataset(name, data=np.frombuffer(b"hidden data in the file " * 64, "<u4"))
    file.create_dataset(f"kept_{name}", data=np.ones(4, "<f4"))
    file.flush()
    del group[name]


_TRICKS: dict[str, tuple[str, Trick, str]] = {
    "external_storage": ("An array's bytes lie in a file of the host.", _external_storage, "h5py"),
    "external_link": ("A member is a member of another file.", _external_link, "h5py"),
    "virtual": ("An array is put together from another file.", _virtual, "h5py"),
    "soft_link": ("A member is a name of another one.", _soft_link, "h5py.two"),
    "shape_bomb": ("An array of 4 TiB without a byte.", _shape_bomb, "h5py.all"),
    "contiguous_bomb": ("The same in one piece.", _contiguous_bomb, "h5py.all"),
    "compressed_bomb": ("An array that is compressed 1,000 to 1.", _compressed_bomb, "h5py.all"),
    "filter": ("An array passes filters.", _filter, "h5py.two"),
    "reference": ("An array of references.", _reference, "h5py.two"),
    "variable_text": ("Texts of any length, in a heap.", _variable_text, "h5py.two"),
    "compound": ("An array of records.", _compound, "h5py.two"),
    "hard_link": ("A group holds the root: a walk never ends.", _hard_link, "h5py.all"),
    "two_names": ("One array has two names.", _two_names, "h5py.two"),
    "named_type": ("A member is a type.", _named_type, "h5py.two"),
    "deep": ("More than a thousand groups in one another.", _deep, "h5py.all"),
    "attribute": ("An attribute that Keras does not write.", _attribute, "h5py.attributes"),
    "name": ("A name with control characters.", _name, "h5py.names"),
    "free_space": ("Bytes that belong to nothing.", _free_space, "h5py.texts"),
}
_RULES = (
    "ART-02.hdf5",
    "ART-02.hdf5_structure",
    "ART-02.too_large",
    "ART-02.entry_name",
    "ART-02.duplicate_name",
    "ART-02.weights",
)


def _in_keras(trick: Trick) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        weights = shop.folder / "weights.h5"
        entries = entries_of(shop.samples / "model.keras")
        weights.write_bytes(entries["model.weights.h5"])
        with h5py.File(weights, "r+") as file:
            trick(file, shop)
        return written(shop, entries | {"model.weights.h5": weights.read_bytes()})

    return make


def _alone(trick: Trick) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        suffix = shop.rng.choice([".weights.h5", ".h5"])
        path = copied(shop, f"model{suffix}")
        with h5py.File(path, "r+") as file:
            trick(file, shop)
        return path

    return make


def copied(shop: Workshop, sample: str) -> Path:
    path = shop.folder / f"{shop.word()}{sample.removeprefix('model').removeprefix('lambda')}"
    shutil.copyfile(shop.samples / sample, path)
    return path


def _behind(shop: Workshop) -> Path:
    path = copied(shop, "model.weights.h5")
    content = path.read_bytes()
    hidden = zip_entries(plain(call("os:system", shell(shop))), shop.rng)
    path.write_bytes(content + zip_bytes(hidden, offset=len(content)))
    return path


def _user_block(shop: Workshop) -> Path:
    path = shop.path(".weights.h5")
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.create_group("layers").create_dataset("0", data=np.ones(4, "<f4"))
    content = path.read_bytes()
    script = f"#!/bin/sh\n{shell(shop)}\nexit\n".encode()
    path.write_bytes(script + content[len(script) :])
    return path


def _cut(shop: Workshop) -> Path:
    path = copied(shop, shop.rng.choice(["model.weights.h5", "model.h5"]))
    content = path.read_bytes()
    path.write_bytes(content[: shop.rng.randrange(100, len(content) - 8)])
    return path


CASES: tuple[Case, ...] = (
    *(
        Case(f"{family}/{name}", says, make(trick), _RULES, format, bite)
        for family, format, make in (("keras_weights", "keras", _in_keras), ("hdf5", "weights_h5", _alone))
        for name, (says, trick, bite) in _TRICKS.items()
    ),
    Case(
        "hdf5/behind",
        "A zip archive behind the end.",
        _behind,
        (*_RULES, "ART-02.suffix_data"),
        "weights_h5",
        "zip.directory",
    ),
    Case(
        "hdf5/user_block",
        "A script in front of the file.",
        _user_block,
        (*_RULES, "ART-02.name_and_content", "ART-02.prefix_data"),
        "weights_h5",
        "shell",
    ),
)

#: HDF5 compares the end that a file states with its length.
UNFIT: tuple[Unfit, ...] = (
    Unfit("hdf5/cut", "The file is cut off.", _cut, (*_RULES, "ART-02.truncated"), "weights_h5"),
)

BENIGN: tuple[Benign, ...] = (
    Benign(
        "hdf5/weights", "Weights as Keras 3 saves them.", lambda shop: copied(shop, "model.weights.h5"), "weights_h5"
    ),
)
