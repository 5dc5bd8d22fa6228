"""The pickle machine: what Python's pickler writes of plain data is read, and nothing is imported or called."""

from __future__ import annotations

import codecs
import collections
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import Touch, outcome
from tests.workers.artifacts.weights_files import text
from workers.artifacts.findings import Finding
from workers.artifacts.pickles.globals import Function
from workers.artifacts.pickles.machine import Pickle, read_pickle
from workers.artifacts.pickles.state import MAX_VALUES
from workers.artifacts.pickles.values import NumpyArray, NumpyDtype, PickledDict, PickledList, PickledSet


def read(content: bytes) -> Pickle:
    return read_pickle(content, "data.pkl")


def refused(content: bytes) -> Finding:
    _, finding = outcome(lambda: read(content))
    assert finding is not None
    assert finding.place.startswith("data.pkl, byte ")
    return finding


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**62), 2**62), inner, max_size=5)
        | st.sets(st.integers(-(2**62), 2**62) | st.text(), max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(value=PLAIN, protocol=st.integers(2, 5))
def test_plain_data_is_read_as_python_reads_it_in_every_protocol(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    found = read(content)
    assert agree(found.value, value)
    assert found.end == len(content)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_large_texts_and_bytes_stand_outside_of_frames(protocol: int) -> None:
    value = ["x" * 100_000, b"y" * 100_000, bytearray(b"z" * 100_000), list(range(5000)), "end"]
    assert agree(read(pickle.dumps(value, protocol)).value, value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_of_numpy_keep_their_bytes(protocol: int) -> None:
    value = [np.float32(1.5), np.arange(4, dtype=">i2").reshape(2, 2), np.dtype("f8"), np.str_("ab"), np.bool_(True)]
    scalar, array, dtype, words, truth = read(pickle.dumps(value, protocol)).value.items
    assert (scalar.content, scalar.dtype.code, scalar.shape) == (struct.pack("<f", 1.5), "f4", ())
    assert (array.shape, array.dtype.order, array.content) == ((2, 2), ">", np.arange(4, dtype=">i2").tobytes())
    assert (dtype.code, dtype.order) == ("f8", "<")
    assert words.content == "ab".encode("utf-32-le")
    assert truth.content == b"\1"


def test_texts_that_look_like_code_are_texts() -> None:
    value = {"cos\nsystem\n(S'true'\ntR.": "__import__('os').system('true')", "eval": "builtins.exec"}
    assert agree(read(pickle.dumps(value, 2)).value, value)


class Plain:
    pass


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (print, "print"),
        (Plain(), "Plain"),
        (Path("/etc/passwd"), "pathlib"),
        (collections.defaultdict(list), "collections.defaultdict"),
        (np.array([print], dtype=object), ""),
        (np.zeros(1, [("a", "f4")]), ""),
        (range(3), "range"),
        (slice(1), "slice"),
    ],
    ids=["function", "object", "path", "defaultdict", "array of objects", "record", "range", "slice"],
)
def test_what_is_no_plain_data_is_refused_by_its_name(value: Any, name: str, protocol: int) -> None:
    finding = refused(pickle.dumps(value, protocol))
    assert (finding.id, finding.severity) == ("ART-01.pickle", "critical")
    assert name in finding.detail


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_call_is_not_made(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    assert refused(pickle.dumps(Touch(marker), protocol)).id == "ART-01.pickle"
    assert not marker.exists()


CALL = text("true") + b"\x85R"
LATE = b"\x80\x04" + b"\x8c\x08builtins\x8c\x04eval\x93"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\x80\x02cos\nsystem\n" + CALL + b".", 2),
        (b"\x80\x02cposix\nsystem\n" + CALL + b".", 2),
        (b"\x80\x02c__builtin__\neval\n" + CALL + b".", 2),
        (b"\x80\x03c__builtin__\nset\n]\x85R.", 2),
        (b"\x80\x02cbuiltins\nset\n]\x85R.", 2),
        (b"\x80\x02ctorch\n_utils._rebuild_tensor_v2\n.", 2),
        (b"\x80\x02ctorch._utils\nimportlib.import_module\n.", 2),
        (b"\x80\x02ctorch.serialization\nos.system\n.", 2),
        (b"\x80\x02ctorch.serialization\r\n_get_layout\n.", 2),
        (b"\x80\x02c collections\nOrderedDict\n)R.", 2),
        (b"\x80\x02ccollections\nOrderedDict \n)R.", 2),
        ("\x80\x02ccollections\nOrderedDıct\n)R.".encode("latin1", "backslashreplace"), 2),
        (b"\x80\x04\x8c\x05torch\x8c\x16storage.UntypedStorage\x93.", 33),
        (LATE + b"\x8c\x01a\x85R.", 18),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.", 20),
        (b"\x80\x04K\x01\x8c\x06system\x93.", 12),
    ],
)
def test_a_global_is_known_by_its_exact_name_alone(content: bytes, place: int) -> None:
    finding = refused(content)
    assert finding.id == "ART-01.pickle"
    assert finding.place == f"data.pkl, byte {place}"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02(S'true'\nios\nsystem\n.",
        b"\x80\x02(cos\nsystem\nS'true'\no.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\x83\x01\x00.",
        b"\x80\x02\x84\x01\x00\x00\x00.",
        b"\x80\x04)}\x92.",
        b"\x80\x02P1\n.",
        b"\x80\x02ctorch\nSize\n)\x81.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02ccollections\nOrderedDict\n]R.",
        b"\x80\x02ctorch\nfloat32\n)R.",
        b"\x80\x02K\x01}b.",
        b"\x80\x02ctorch\nSize\n)\x85R}b.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02" + text("x") + b"Q.",
        b"\x80\x02(" + text("module") + b"ttQ.",
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02)K\x01a.",
        b"\x80\x02]K\x01K\x02s.",
    ],
)
def test_an_opcode_that_makes_or_changes_anything_else_is_refused(content: bytes) -> None:
    assert refused(content).id in ("ART-01.pickle", "ART-02.pickle")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"\x80\x02",
        b"\x80\x02N",
        b"N.",
        b"\x80\x01N.",
        b"\x80\x06N.",
        b"\x80\x02\x80\x02N.",
        b"\x80\x02NN.",
        b"\x80\x02.",
        b"\x80\x02(.",
        b"\x80\x02(N.",
        b"\x80\x02N(.",
        b"\x80\x02N0N.",
        b"\x80\x02N2t.",
        b"\x80\x02(N1N.",
        b"\x80\x02I1\n.",
        b"\x80\x02I01\n.",
        b"\x80\x02L1L\n.",
        b"\x80\x02F1.0\n.",
        b"\x80\x02S'a'\n.",
        b"\x80\x02Va\n.",
        b"\x80\x02(lp0\n.",
        b"\x80\x02(d.",
        b"\x80\x02Ng0\n.",
        b"\x80\x02h\x00.",
        b"\x80\x02j\x00\x00\x00\x00.",
        b"\x80\x02q\x00N.",
        b"\x80\x02Nq\x05.",
        b"\x80\x02Nq\x00Kq\x00\x86.",
        b"\x80\x02Nq\x00K\x01q\x00\x86.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        b"\x80\x02N\x94.",
        b"\x80\x04Nq\x00.",
        b"\x80\x02\x8c\x01a.",
        b"\x80\x02C\x01a.",
        b"\x80\x02\x8f.",
        b"\x80\x02\x95\x04\x00\x00\x00\x00\x00\x00\x00NNN.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
        b"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N.",
        b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00K\x01\x85\x8c\x01a\x86.",
        b"\x80\x04\x95\x04\x00\x00\x00\x00\x00\x00\x00N.NN",
        b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x95\x04\x00\x00\x00\x00\x00\x00\x00NNN.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x03B\xff\xff\xff\x7fabc.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x80\x05\x97.",
        b"\x80\x05N\x98.",
        b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
        b"\x80\x02\x8a\xff\x01.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
        b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.",
        b"\x80\x02U\x01\xe9.",
        b"\x80\x03U\x01a.",
        b"\x80\x02cos",
        b"\x80\x02c" + b"a" * 1000 + b"\nb\n.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}(K\x01NK\x01Nu.",
        b"\x80\x02}(K\x01N\x88Nu.",
        b"\x80\x02}(K\x01NG\x3f\xf0\x00\x00\x00\x00\x00\x00Nu.",
        b"\x80\x02}" + text("a") + b"Ns" + text("a") + b"Ns.",
        b"\x80\x02}]Ns.",
        b"\x80\x02}\x8a\x09\x01\x00\x00\x00\x00\x00\x00\x00\x01Ns.",
    ],
)
def test_what_is_damaged_or_has_two_readings_is_refused(content: bytes) -> None:
    assert refused(content).id in ("ART-02.pickle", "ART-01.pickle")


def test_python_2_counts_its_memo_from_one() -> None:
    content = b"\x80\x02]q\x01(U\x01aq\x02h\x02h\x01e."
    # The list holds itself, which only a walk can tell.
    assert read(content).value.items[:2] == ["a", "a"]


@pytest.mark.parametrize(
    "body",
    [
        b"ccollections\nOrderedDict\n)Rq\x00}" + text("hooks") + b"Nsb.",
        b"ccollections\nOrderedDict\n)R}" + text("_metadata") + b"Nsb}" + text("_metadata") + b"Nsb.",
        b"}}" + text("_metadata") + b"Nsb.",
        b"(c__builtin__\nset\n]q\x00\x85Rh\x00K\x01at.",
        b"(ccollections\nCounter\n}q\x00\x85Rh\x00K\x01K\x01st.",
        b"ctorch\nSize\nK\x01\x85R.",
        b"ctorch\nSize\nJ\xff\xff\xff\xff\x85\x85R.",
        b"ctorch\nSize\n\x88\x85\x85R.",
        b"ctorch\ndevice\n" + text("cpu; rm") + b"\x85R.",
        b"ctorch.serialization\n_get_layout\n" + text("torch.load") + b"\x85R.",
        b"c_codecs\nencode\n" + text("a") + text("utf-16") + b"\x86R.",
        b"c_codecs\nencode\n" + text("a") + text("latin1") + text("ignore") + b"\x87R.",
        b"c_codecs\nencode\n" + text("€") + text("latin1") + b"\x86R.",
        b"c_codecs\nencode\n" + text("a") + b"\x85R.",
        b"cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87R.",
        b"cnumpy\ndtype\n" + text("V4") + b"\x89\x88\x87R.",
        b"cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffK\x01K?tb.",
        b"cnumpy._core.multiarray\n_reconstruct\nctorch\nTensor\nK\x00\x85c_codecs\nencode\n"
        + text("b")
        + text("latin1")
        + b"\x86R\x87R.",
        b"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n"
        + text("f4")
        + b"\x89\x88\x87Rc__builtin__\nbytes\n)R\x86R.",
    ],
)
def test_known_globals_take_the_arguments_that_they_have_in_checkpoints(body: bytes) -> None:
    assert refused(b"\x80\x02" + body).id == "ART-01.pickle"


@pytest.mark.parametrize(
    "piece", [b"]", b"(", b"}", b")", b"}K\x01Ns", b"](Ne", b"(t", b"X\2\0\0\0ab", b"G" + bytes(8)]
)
def test_a_flood_is_bounded(piece: bytes) -> None:
    repeats = 2 * MAX_VALUES // max(1, len(piece) // 2)
    assert refused(b"\x80\x02" + piece * repeats).id in ("ART-02.too_large", "ART-02.pickle")


def test_deep_nesting_is_read_without_recursion() -> None:
    deep = b"\x80\x02)" + b"\x85" * 200_000 + b"."
    assert isinstance(read(deep).value, tuple)
    assert refused(b"\x80\x02}" + deep[2:-1] + b"Ns.").id == "ART-01.pickle", "a key of a dict is spelled out"


def test_keys_are_spelled_out_in_bounded_time() -> None:
    wide = b"(" + b"K\x01" * 1000 + b"tq\x00"
    assert refused(b"\x80\x02" + wide + b"}h\x00Ns.").id == "ART-01.pickle"


class OnlyData(pickle.Unpickler):
    """Python's own machine, with the globals of plain data alone: what it reads is what every reader reads."""

    KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("builtins", "set"): set,
        ("_codecs", "encode"): codecs.encode,
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy._core.multiarray", "scalar"): np._core.multiarray.scalar,
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy._core.numeric", "_frombuffer"): np._core.numeric._frombuffer,
    }

    def find_class(self, module: str, name: str) -> Any:
        return self.KNOWN[module.replace("__builtin__", "builtins"), name]


def read_by_python(content: bytes) -> Any:
    return OnlyData(io.BytesIO(content)).load()


def holds_function(value: Any, depth: int = 0) -> bool:
    """Tell whether a global stands as a value, or a value inside itself: the walk of a checkpoint refuses both."""
    inner = (
        value.items if isinstance(value, PickledList | PickledSet)
        else value.entries.values() if isinstance(value, PickledDict)
        else value if isinstance(value, tuple) else ()
    )  # fmt: skip
    return isinstance(value, Function) or depth > 50 or any(holds_function(item, depth + 1) for item in inner)


def agree(ours: Any, theirs: Any) -> bool:
    """Tell whether both readings say the same, down to the type of every value."""
    match ours:
        case PickledDict():
            keys = [key if isinstance(key, str) else eval(key) for key in ours.entries]
            values = zip(ours.entries.values(), theirs.values(), strict=True)
            return keys == list(theirs) and all(agree(*pair) for pair in values)
        case PickledList():
            return type(theirs) is list and all(agree(*pair) for pair in zip(ours.items, theirs, strict=True))
        case PickledSet():
            return set(map(repr, ours.items)) == set(map(repr, theirs))
        case tuple():
            return type(theirs) is tuple and all(agree(*pair) for pair in zip(ours, theirs, strict=True))
        case NumpyDtype():
            return theirs == np.dtype(ours.order + ours.code)
        case NumpyArray(content=None):
            return theirs.size == 0
        case NumpyArray():
            order = "F" if ours.is_fortran else "C"
            same = theirs.dtype == np.dtype(ours.dtype.order + ours.dtype.code) and theirs.shape == ours.shape
            return same and theirs.tobytes(order) == ours.content
    if isinstance(ours, bytes):
        return bytes(theirs) == ours
    return type(ours) is type(theirs) and repr(ours) == repr(theirs)


SEED = pickle.dumps(
    {"a": [1, 2.5, b"x", {1}, (1, "b"), np.float32(2), np.arange(3)], 3: collections.OrderedDict(x=None)}, 2
)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), protocol=st.sampled_from([2, 4, 5]))
def test_mutated_pickles_are_read_as_python_reads_them_or_refused(data: st.DataObject, protocol: int) -> None:
    content = bytearray(pickle.dumps(pickle.loads(SEED), protocol))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "copy"]))
        if kind == "flip":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=8))
        elif kind == "delete":
            del content[at : at + data.draw(st.integers(1, 8))]
        else:
            content[at:at] = content[: data.draw(st.integers(0, len(content)))]
        if not content:
            break
    found, finding = outcome(lambda: read(bytes(content)))
    if finding is None and not holds_function(found.value):
        assert agree(found.value, read_by_python(bytes(content)))


PIECES = (
    *(
        b"(",
        b")",
        b"]",
        b"}",
        b"N",
        b"K\x01",
        b"t",
        b"\x85",
        b"\x86",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"b",
        b"Q",
        b"\x81",
    ),
    *(b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"X\1\0\0\0a", b"\x88", b"c__builtin__\nset\n"),
    *(b"ccollections\nOrderedDict\n", b"ccollections\nOrderedDict\n)R", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"),
)


@settings(max_examples=300, deadline=None)
@given(body=st.lists(st.sampled_from(PIECES), max_size=30))
def test_random_programs_are_read_as_python_reads_them_or_refused(body: list[bytes]) -> None:
    content = b"\x80\x02" + b"".join(body) + b"."
    found, finding = outcome(lambda: read(content))
    if finding is None and not holds_function(found.value):
        assert found.end == len(content)
        assert agree(found.value, read_by_python(content))
