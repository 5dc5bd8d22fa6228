"""SavedModels and TorchScript: graphs that write and read files of the host."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.corpus import samples
from tests.corpus.case import Benign, Case, Unfit, Workshop
from tests.corpus.gadgets import shell, stored_code
from tests.corpus.host import lay_classes_beside
from tests.corpus.native import library
from tests.corpus.pickles import assemble, call
from tests.corpus.zips import Entry, write_zip

#: An operator that no library of this project registers, with a name as long as that of one which TensorFlow has.
CUSTOM_OPERATOR = "Write_Fil"
#: Files of a SavedModel, by their path in its folder.
Files = dict[str, bytes]


def placed(content: bytes, shop: Workshop) -> bytes:
    """Put the paths of this case where a sample has its placeholders."""
    marker, decoy = samples.padded(shop.marker).encode(), samples.padded(shop.decoy).encode()
    return content.replace(samples.MARKER.encode(), marker).replace(samples.DECOY.encode(), decoy)


def graph_files(shop: Workshop, name: str) -> Files:
    """Return the files of one sample with its paths in place, and functions renamed."""
    folder = shop.samples / f"graph_{name}"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    renamed = shop.rng.choice([b"traced_save", b"infer_serve", b"_gradients_"])
    return {path: placed(content, shop).replace(b"traced_save", renamed) for path, content in files.items()}


def placed_graph(shop: Workshop, name: str, folder: Path) -> Path:
    """Write a SavedModel as a folder."""
    for path, content in graph_files(shop, name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def _packed(shop: Workshop, files: Files) -> Path:
    """Write a SavedModel as an archive, with and without a folder around it."""
    root = shop.rng.choice(["", f"{shop.word()}/"])
    return write_zip(shop.path(".zip"), [Entry(root + path, content) for path, content in files.items()])


def _graph(name: str) -> Callable[[Workshop], Path]:
    return lambda shop: _packed(shop, graph_files(shop, name))


def _changed(change: Callable[[Files, Workshop], None], name: str = "write") -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        files = graph_files(shop, name)
        change(files, shop)
        return _packed(shop, files)

    return make


def _in_a_tar(shop: Workshop) -> Path:
    path = shop.path(".tar")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in graph_files(shop, "write").items():
            information = tarfile.TarInfo(f"model/{name}")
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))
    return path


def _custom_operator(files: Files, shop: Workshop) -> None:
    files["saved_model.pb"] = files["saved_model.pb"].replace(b"WriteFile", CUSTOM_OPERATOR.encode())


def protobuf_number(value: int) -> bytes:
    """Return a number as protobuf writes lengths."""
    written = b""
    while value > 0x7F:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])


def _repeated_field(files: Files, shop: Workshop) -> None:
    # `saved_model_schema_version`, a field that may occur once, a second time.
    files["saved_model.pb"] += b"\x08\x02"


def _unknown_field(files: Files, shop: Workshop) -> None:
    files["saved_model.pb"] += b"\xfa\x7f\x03abc"


def _second_graph(files: Files, shop: Workshop) -> None:
    # Two lists of graphs, joined as protobuf joins them: the second one's tags are looked for, too.
    files["saved_model.pb"] += graph_files(shop, "write")["saved_model.pb"]


def _text_beside(files: Files, shop: Workshop) -> None:
    files["saved_model.pbtxt"] = b"saved_model_schema_version: 1"


def _library(files: Files, shop: Workshop) -> None:
    files[f"assets.extra/{shop.word()}.so"] = library(shop.marker)


def _keras_metadata(files: Files, shop: Workshop) -> None:
    metadata = json.dumps({"class_name": "Lambda", "config": {"function": stored_code(shop)}}).encode()
    node = b"\x2a" + protobuf_number(len(metadata)) + metadata
    files["keras_metadata.pb"] = b"\x0a" + protobuf_number(len(node)) + node


def _pickle(files: Files, shop: Workshop) -> None:
    files[f"assets/{shop.word()}.pkl"] = assemble(call("os:system", shell(shop)), shop.rng, protocol=2)


def _cut_variables(files: Files, shop: Workshop) -> None:
    name = "variables/variables.data-00000-of-00001"
    files[name] = files[name][: len(files[name]) // 2]


def _more_variables(files: Files, shop: Workshop) -> None:
    files["variables/variables.data-00001-of-00002"] = b"\0" * 32


def _damaged_index(files: Files, shop: Workshop) -> None:
    content = bytearray(files["variables/variables.index"])
    content[shop.rng.randrange(8, len(content) - 60)] ^= 0x55
    files["variables/variables.index"] = bytes(content)


def _cut_graph(files: Files, shop: Workshop) -> None:
    files["saved_model.pb"] = files["saved_model.pb"][:-7]


_OPERATOR = ("ART-01.operator",)
_PROTOBUF = ("ART-02.protobuf", "ART-02.graph", "ART-01.operator")
_ENTRY = ("ART-02.unknown_entry", "ART-01.native_code")
_VARIABLES = ("ART-02.checkpoint", "ART-02.checksum", "ART-02.missing_entry", "ART-02.unknown_entry")
#: A file beside the model is told and left out of the copy, and the model is read; nobody has accepted it yet.
_LEFT_OUT = ("ART-03.saved_model", "ART-03.torchscript")


def _case(name: str, says: str, make: Callable[[Workshop], Path], rules: tuple[str, ...], bite: str) -> Case:
    return Case(f"saved_model/{name}", says, make, rules, "saved_model", bite)


def _beside(name: str, says: str, change: Callable[[Files, Workshop], None], bite: str) -> Case:
    return Case(
        f"saved_model/{name}", says, _changed(change, "plain"), _LEFT_OUT, "saved_model", bite, verdict="quarantined"
    )


def _script(name: str) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        return write_zip(shop.path(".pt", ".pth", ".ts"), script_entries(shop, name))

    return make


def script_entries(shop: Workshop, name: str) -> list[Entry]:
    """Return the entries of one compiled sample with its path in place, and its root renamed."""
    with zipfile.ZipFile(shop.samples / f"script_{name}.pt") as archive:
        read = {path: archive.read(path) for path in archive.namelist()}
    root = shop.word()
    return [Entry(f"{root}/{path.partition('/')[2]}", placed(content, shop)) for path, content in read.items()]


def _script_with(change: Callable[[list[Entry], Workshop], None], name: str = "Plain") -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        entries = script_entries(shop, name)
        change(entries, shop)
        return write_zip(shop.path(".pt", ".pth"), entries)

    return make


def _entry_of(entries: list[Entry], ending: str) -> Entry:
    return next(entry for entry in entries if entry.name.endswith(ending))


def _hostile_constants(entries: list[Entry], shop: Workshop) -> None:
    _entry_of(entries, "constants.pkl").content = assemble(call("os:system", shell(shop)), shop.rng, protocol=2)


def _hostile_data(entries: list[Entry], shop: Workshop) -> None:
    _entry_of(entries, "data.pkl").content = assemble(call("os:system", shell(shop)), shop.rng, protocol=2)


def _no_longer_a_script(entries: list[Entry], shop: Workshop) -> None:
    # Without `constants.pkl` torch.load unpickles what looked like a script.
    _hostile_data(entries, shop)
    entries.remove(_entry_of(entries, "constants.pkl"))


def _code_of(entries: list[Entry]) -> Entry:
    return next(entry for entry in entries if "/code/" in entry.name and entry.name.endswith(".py"))


def _custom_class(shop: Workshop) -> Path:
    lay_classes_beside(shop)
    return _script("CustomClass")(shop)


def _unknown_operator(entries: list[Entry], shop: Workshop) -> None:
    entry = _code_of(entries)
    entry.content = entry.content.replace(b"    return ", b"    rows = ops.assay.write_file(rows)\n    return ", 1)


def _library_entry(entries: list[Entry], shop: Workshop) -> None:
    root = entries[0].name.partition("/")[0]
    entries.append(Entry(f"{root}/extra/{shop.word()}.so", library(shop.marker)))


def _extra_pickle(entries: list[Entry], shop: Workshop) -> None:
    root = entries[0].name.partition("/")[0]
    entries.append(Entry(f"{root}/{shop.word()}.pkl", assemble(call("os:system", shell(shop)), shop.rng, protocol=2)))


def _deep_code(entries: list[Entry], shop: Workshop) -> None:
    entry = _code_of(entries)
    entry.content = entry.content.replace(
        b"    return ", b"    _0 = " + b"(" * 30_000 + b"rows" + b")" * 30_000 + b"\n    return ", 1
    )


_SCRIPT_RULES = (
    "ART-01.operator",
    "ART-01.custom_operator",
    "ART-02.code",
    "ART-02.pickle",
    "ART-01.custom_object",
    "ART-01.pickle",
    "ART-02.unknown_entry",
    "ART-02.too_large",
    "ART-02.missing_entry",
)


def _jit(name: str, says: str, make: Callable[[Workshop], Path], bite: str = "torch.jit") -> Case:
    return Case(f"torchscript/{name}", says, make, _SCRIPT_RULES, "torchscript", bite)


def _exhausting(name: str, says: str, make: Callable[[Workshop], Path]) -> Case:
    """Return code that waits for somebody's word: nothing tells before it runs what time and memory it takes."""
    return Case(
        f"torchscript/{name}",
        says,
        make,
        ("ART-03.torchscript",),
        "torchscript",
        "torch.jit.limited",
        verdict="quarantined",
    )


CASES: tuple[Case, ...] = (
    _case("write", "The serving function writes a file.", _graph("write"), _OPERATOR, "saved_model"),
    _case("function", "A function with a harmless name writes.", _graph("function"), _OPERATOR, "saved_model"),
    _case("functions", "A function of a function writes.", _graph("functions"), _OPERATOR, "saved_model"),
    _case("loop", "The body of a loop writes.", _graph("loop"), _OPERATOR, "saved_model"),
    _case("branch", "A branch writes.", _graph("branch"), _OPERATOR, "saved_model"),
    _case("print", "A print goes to a file.", _graph("print"), _OPERATOR, "saved_model"),
    _case("save", "A checkpoint is written to the host.", _graph("save"), _OPERATOR, "saved_model"),
    _case("records", "A data set is written to the host.", _graph("records"), _OPERATOR, "saved_model"),
    _case("summary", "A summary is written to the host.", _graph("summary"), _OPERATOR, "saved_model"),
    _case("read", "A file of the host is read.", _graph("read"), _OPERATOR, "saved_model"),
    _case("lines", "A data set is the lines of a file of the host.", _graph("lines"), _OPERATOR, "saved_model"),
    _case("list", "Files of the host are listed.", _graph("list"), _OPERATOR, "saved_model"),
    _case("immutable", "A constant is a file of the host.", _graph("immutable"), _OPERATOR, "saved_model"),
    _case(
        "python",
        "An operator calls Python.",
        _graph("python"),
        _OPERATOR,
        "saved_model.python",
    ),
    _case(
        "tar",
        "The same in a tar archive.",
        _in_a_tar,
        (*_OPERATOR, "ART-02.name_and_content", "ART-03.format"),
        "saved_model",
    ),
    _case(
        "custom",
        "An operator of somebody's library, which writes.",
        _changed(_custom_operator),
        ("ART-01.operator", "ART-01.custom_operator"),
        "saved_model.operators",
    ),
    Case(
        "saved_model/memory",
        "The answer is of 4 GiB.",
        _graph("memory"),
        ("ART-03.saved_model",),
        "saved_model",
        "saved_model.limited",
        verdict="quarantined",
    ),
    _case(
        "repeated",
        "A field that occurs once occurs twice.",
        _changed(_repeated_field, "plain"),
        _PROTOBUF,
        "saved_model.parse",
    ),
    _case(
        "unknown",
        "A field that the format does not have.",
        _changed(_unknown_field, "plain"),
        _PROTOBUF,
        "saved_model.parse",
    ),
    _case(
        "second_graph",
        "A second graph, which writes.",
        _changed(_second_graph, "plain"),
        _PROTOBUF,
        "saved_model.last",
    ),
    _case("cut", "The graph is cut off.", _changed(_cut_graph, "plain"), _PROTOBUF, "saved_model.parse"),
    _case(
        "text_beside", "The graph a second time, as text.", _changed(_text_beside, "plain"), _ENTRY, "saved_model.text"
    ),
    _beside("library", "A compiled library.", _library, "each.library"),
    _beside("keras_metadata", "Keras 2's metadata, which Keras 2 runs.", _keras_metadata, "saved_model.metadata"),
    _beside("pickle", "A pickle among the assets.", _pickle, "each.pickle"),
    _case(
        "cut_variables",
        "The variables are cut off.",
        _changed(_cut_variables, "plain"),
        _VARIABLES,
        "variables",
    ),
    _case(
        "more_variables",
        "Variables that no index lists.",
        _changed(_more_variables, "plain"),
        _VARIABLES,
        "variables.shards",
    ),
    _jit("writes", "The forward method makes a file.", _script("Writes")),
    _jit("inside", "A module of the module makes a file.", _script("WritesInside")),
    _jit("branch", "A branch makes a file.", _script("WritesInABranch")),
    _jit("function", "A function beside the module makes a file.", _script("WritesInAFunction")),
    _jit("loaded", "Loading makes a file, before anything is called.", _script("WritesWhenLoaded")),
    _jit("saves", "A tensor is saved to the host.", _script("Saves")),
    _jit("reads", "The answer is a file of the host.", _script("Reads")),
    _exhausting("never_ends", "A loop that never ends.", _script("NeverEnds")),
    _exhausting("fills_memory", "4 TiB of numbers.", _script("FillsMemory")),
    _jit("constants", "The constants are a hostile pickle.", _script_with(_hostile_constants), "zip.directory"),
    _jit("data", "The data are a hostile pickle.", _script_with(_hostile_data), "zip.directory"),
    Case(
        "torchscript/no_constants",
        "Only seems to be a script; torch.load unpickles it.",
        _script_with(_no_longer_a_script),
        (*_SCRIPT_RULES, "ART-02.name_and_content"),
        "torchscript",
        "torch",
    ),
    _jit("custom_class", "A class of somebody's library, which writes.", _custom_class, "torch.jit.classes"),
    _jit(
        "unknown_operator", "An operator of somebody's library.", _script_with(_unknown_operator), "torch.jit.library"
    ),
    Case(
        "torchscript/library",
        "A compiled library.",
        _script_with(_library_entry),
        _LEFT_OUT,
        "torchscript",
        "each.library",
        verdict="quarantined",
    ),
    _jit("extra_pickle", "A pickle that torch did not write.", _script_with(_extra_pickle), "zip.directory"),
    _jit("deep_code", "30,000 brackets.", _script_with(_deep_code), "torch.jit.limited"),
)

#: TensorFlow compares the checksum of every block of the index.
UNFIT: tuple[Unfit, ...] = (
    Unfit(
        "saved_model/damaged_index",
        "The index of the variables is damaged.",
        _changed(_damaged_index, "plain"),
        _VARIABLES,
        "saved_model",
    ),
)

BENIGN: tuple[Benign, ...] = (
    Benign("saved_model/plain", "A matrix product.", _graph("plain"), "saved_model", "quarantined"),
    Benign("torchscript/plain", "A linear layer.", _script("Plain"), "torchscript", "quarantined"),
)
