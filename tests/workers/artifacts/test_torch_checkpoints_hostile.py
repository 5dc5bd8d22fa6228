"""Checkpoints that are more than tensors, or whose tensors are not what they say, are refused with the place."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import Touch
from tests.workers.artifacts.weights_files import (
    HOOKS,
    archive,
    carried,
    checkpoint,
    entries_of,
    refused,
    save,
    storage,
    tensor,
    text,
)
from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits


def named(value: bytes) -> bytes:
    return b"}" + text("w") + value + b"s"


def test_the_crafted_checkpoint_is_taken_when_nothing_is_wrong_with_it(tmp_path: Path) -> None:
    import torch

    path = checkpoint(tmp_path / "m.pt", named(tensor()), {"0": struct.pack("<2f", 1, 2)})
    _, tensors = carried(path)
    assert tensors["w"].tolist() == torch.load(path, weights_only=True)["w"].tolist() == [1, 2]


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_payload_is_refused_by_name_and_not_run(tmp_path: Path, as_zip: bool, protocol: int) -> None:
    import torch

    marker = tmp_path / "marker"
    value = {"w": torch.ones(1), "payload": Touch(marker)}
    path = save(tmp_path / "m.pt", value, _use_new_zipfile_serialization=as_zip, pickle_protocol=protocol)
    finding = refused(path)
    assert (finding.id, finding.severity) == ("ART-01.pickle", "critical")
    assert "getattr" in finding.detail or "pathlib.Path.touch" in finding.detail
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), "the payload has teeth"


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "stream"])
def test_a_whole_module_is_refused_by_its_class(tmp_path: Path, as_zip: bool) -> None:
    import torch

    finding = refused(save(tmp_path / "m.pt", torch.nn.Linear(1, 1), _use_new_zipfile_serialization=as_zip))
    assert finding.id == "ART-01.pickle"
    assert "torch.nn.modules.linear.Linear" in finding.detail


WITH_STATE = b"ctorch._utils\n_rebuild_parameter_with_state\n("
FILLED = HOOKS + text("a") + b"Ns"


@pytest.mark.parametrize(
    "value",
    [
        tensor(hooks=FILLED),
        tensor(hooks=b"}"),
        tensor(hooks=b"N"),
        b"(" + tensor(hooks=HOOKS + b"q\x00") + b"h\x00" + text("a") + b"Nst",
        tensor(gradient=b"K\x01"),
        tensor(more=b"}" + text("conj") + b"\x88s"),
        tensor(more=b"}" + text("other") + b"\x88s", of=storage("1", kind=b"ctorch\nComplexFloatStorage\n")),
        tensor(more=b"}}"),
        tensor(more=b"}" + text("neg") + b"\x88s", of=storage("1", kind=b"ctorch\nBoolStorage\n")),
        tensor(of=b"N"),
        tensor(of=storage("1", kind=b"ctorch.storage\nUntypedStorage\n")),
        tensor(of=storage("1", kind=b"ctorch\nQInt8Storage\n")),
        tensor(of=storage("1", kind=b"ctorch\nfloat32\n")),
        tensor(of=storage(device="cpu:x")),
        tensor(of=storage(count=b"J\xff\xff\xff\xff")),
        tensor(of=storage(count=b"\x8a\x09" + b"\xff" * 8 + b"\x00")),
        tensor(size=b"K\x03\x85"),
        tensor(offset=b"K\x01"),
        tensor(offset=b"J\xff\xff\xff\xff"),
        tensor(stride=b"J\xff\xff\xff\xff\x85"),
        tensor(stride=b"K\x02\x85"),
        tensor(stride=b")"),
        tensor(size=b"(" + b"K\x01" * 33 + b"t", stride=b"(" + b"K\x01" * 33 + b"t"),
        tensor(size=b"\x88\x85"),
        tensor(size=b"]"),
        tensor(size=b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85", stride=b"K\x00\x85"),
        b"ctorch._utils\n_rebuild_parameter\n" + tensor() + b"\x88" + FILLED + b"\x87R",
        b"ctorch._utils\n_rebuild_parameter\nN\x88" + HOOKS + b"\x87R",
        WITH_STATE + tensor() + b"\x88" + HOOKS + b"}" + text("data") + tensor() + b"stR",
        WITH_STATE + tensor() + b"\x88" + HOOKS + b"}" + text("__class__") + b"NstR",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ccollections\nOrderedDict\nctorch\nTensor\n)}tR",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nfloat32\n)}tR",
        b"ctorch._utils\n_rebuild_sparse_tensor\nctorch.serialization\n_get_layout\n"
        + text("torch.strided") + b"\x85R" + tensor() + b"\x85\x86R",
        b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n("
        + tensor() + b"ctorch\nint64\n" + text("cpu") + b"\x89tR",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
        b"ctorch\nTensor\n",
    ],
)  # fmt: skip
def test_a_tensor_is_made_as_torch_makes_it_or_not_at_all(tmp_path: Path, value: bytes) -> None:
    finding = refused(checkpoint(tmp_path / "m.pt", named(b"(" + tensor() + value + b"t")))
    assert finding.id == "ART-01.pickle"
    assert finding.place.startswith("m/data.pkl, byte") or finding.place == "data.pkl: w.1"


@pytest.mark.parametrize(
    ("storages", "identifier", "place"),
    [
        ({}, "ART-02.missing_entry", "m/data.pkl, byte"),
        ({"0": bytes(7)}, "ART-02.tensors", "m/data/0"),
        ({"0": bytes(9)}, "ART-02.tensors", "m/data/0"),
        ({"0": bytes(8), "1": b"hidden"}, "ART-02.unknown_entry", "m/data/1"),
    ],
    ids=["missing", "short", "long", "left over"],
)
def test_storages_and_entries_are_the_same(
    tmp_path: Path, storages: dict[str, bytes], identifier: str, place: str
) -> None:
    finding = refused(checkpoint(tmp_path / "m.pt", named(tensor()), storages))
    assert (finding.id, finding.place.startswith(place)) == (identifier, True)


def test_one_key_is_one_storage(tmp_path: Path) -> None:
    double = tensor(of=storage(kind=b"ctorch\nDoubleStorage\n", count=b"K\x01"), size=b"K\x01\x85")
    body = b"}(" + text("a") + tensor() + text("b") + double + b"u"
    finding = refused(checkpoint(tmp_path / "m.pt", body))
    assert finding.id == "ART-02.pickle"
    assert "two types or sizes" in finding.detail


@pytest.mark.parametrize(
    ("name", "content", "identifier"),
    [
        ("m/model.py", b"print(1)", "ART-02.unknown_entry"),
        ("m/data.pkl.bak", b"", "ART-02.unknown_entry"),
        ("m/data/../0", b"", "ART-02.entry_name"),
        ("m/data/00x", b"", "ART-02.unknown_entry"),
        ("other/data.pkl", b"\x80\x02N.", "ART-02.unknown_entry"),
        ("m/inner.zip", b"PK\x03\x04", "ART-02.unknown_entry"),
        ("m/version", b"4\n", "ART-02.tensors"),
        ("m/byteorder", b"middle", "ART-02.tensors"),
        ("m/.data/serialization_id", b"cos\nsystem\n", "ART-02.tensors"),
    ],
)
def test_an_entry_too_many_or_another_one_is_refused(
    tmp_path: Path, name: str, content: bytes, identifier: str
) -> None:
    entries = entries_of(checkpoint(tmp_path / "m.pt", named(tensor())))
    assert refused(archive(tmp_path / "n.pt", {**entries, name: content})).id == identifier


def test_bytes_behind_the_pickle_are_refused(tmp_path: Path) -> None:
    finding = refused(checkpoint(tmp_path / "m.pt", named(tensor()), end=b".cos\nsystem\n."))
    assert (finding.id, "12 bytes follow" in finding.detail) == ("ART-02.pickle", True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"}(" + text("a.b") + tensor() + text("a") + b"}" + text("b") + tensor() + b"su", "this name"),
        (b"}(" + text("0") + tensor() + b"K\x00" + tensor() + b"u", "this name"),
        (named(b"K\x01"), "no tensor"),
        (b"}" + text("") + b"}" + text("") + tensor() + b"ss", ""),
        (b"}" + text("a\nb") + tensor() + b"s", "printable"),
        (b"}" + text("__metadata__") + tensor() + b"s", "printable"),
        (b"}" + text("x" * 600) + tensor() + b"s", "512 bytes"),
    ],
)  # fmt: skip
def test_names_tell_tensors_apart(tmp_path: Path, body: bytes, words: str) -> None:
    if not words:
        assert inspect(checkpoint(tmp_path / "m.pt", body), filename="m.pt").verdict == "registered"
        return
    finding = refused(checkpoint(tmp_path / "m.pt", body, None if b"storage" in body else {}))
    assert finding.id == "ART-02.tensors"
    assert words in finding.detail


def test_values_that_repeat_themselves_are_bounded(tmp_path: Path) -> None:
    body = b"]q\x00" + b"".join(
        b"]q" + bytes([n + 1]) + b"(h" + bytes([n]) + b"h" + bytes([n]) + b"e" for n in range(40)
    )
    finding = refused(checkpoint(tmp_path / "m.pt", b"(" + tensor() + body + b"t"))
    assert finding.id == "ART-02.too_large"


def test_a_value_inside_itself_is_bounded(tmp_path: Path) -> None:
    assert refused(checkpoint(tmp_path / "m.pt", b"(" + tensor() + b"]q\x00h\x00at")).id == "ART-02.too_large"


def test_views_that_are_far_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    spread = tensor(size=b"J\x00\x00\x00\x40\x85", stride=b"K\x00\x85")
    finding = refused(checkpoint(tmp_path / "m.pt", named(spread)))
    assert finding.id == "ART-02.too_large"


def test_names_have_to_fit_into_the_header_of_the_copy(tmp_path: Path) -> None:
    body = b"}(" + b"".join(text(f"{number:04}" + "é" * 200) + tensor() for number in range(40)) + b"u"
    path = checkpoint(tmp_path / "m.pt", body)
    (finding,) = inspect(path, filename="m.pt", limits=Limits(json_bytes=16_000)).findings
    assert (finding.id, "of a header" in finding.detail) == ("ART-02.too_large", True)


def test_limits_hold(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.pt", b"}(" + text("a") + tensor() + text("b") + tensor() + b"u")
    for limits in (
        Limits(tensors=1),
        Limits(pickle_bytes=20),
        Limits(json_depth=1, total_bytes=12),
        Limits(name_bytes=1),
    ):
        inspection = inspect(path, filename="m.pt", limits=limits)
        assert (inspection.verdict, limits.name_bytes) == ("rejected", limits.name_bytes)


# ------------------------------------------------------------------------------------------- streams
def stream(tmp_path: Path, change: Callable[[bytes], bytes]) -> Path:
    import torch

    path = save(tmp_path / "m.pt", {"w": torch.arange(4.0), "v": torch.ones(2)}, _use_new_zipfile_serialization=False)
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("change", "identifiers"),
    [
        (lambda raw: raw + b"\0", {"ART-02.suffix_data"}),
        (lambda raw: raw + b"PK\x05\x06" + bytes(18), {"ART-02.suffix_data"}),
        (lambda raw: raw[:-1], {"ART-02.truncated"}),
        (lambda raw: raw[:200], {"ART-02.pickle"}),
        (lambda raw: raw[:-8] + b"\xff" * 8, set()),
        (lambda raw: raw.replace(b"M\xe9\x03.", b"M\xea\x03."), {"ART-02.pickle"}),
        (lambda raw: raw.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), {"ART-02.tensors"}),
        (lambda raw: raw.replace(b"little_endian", b"little_elephant"[:13]), {"ART-02.pickle"}),
        (lambda raw: raw[:21] + b"\x80\x02cos\nsystem\n." + raw[21:], {"ART-01.pickle"}),
        (lambda raw: raw[:15] + pickle.dumps(1001, 0) + raw[21:], {"ART-02.pickle"}),
        (lambda raw: raw.replace(b"\x04\0\0\0\0\0\0\0", b"\x05\0\0\0\0\0\0\0"), {"ART-02.tensors"}),
        (lambda raw: raw.replace(b"\x04\0\0\0\0\0\0\0", b"\xff" * 8), {"ART-02.tensors"}),
    ],
)
def test_a_stream_is_read_to_its_last_byte(
    tmp_path: Path, change: Callable[[bytes], bytes], identifiers: set[str]
) -> None:
    path = stream(tmp_path, change)
    if not identifiers:
        carried(path)
        return
    assert refused(path).id in identifiers


def test_the_keys_of_a_stream_are_those_that_it_uses(tmp_path: Path) -> None:
    def another_key(raw: bytes) -> bytes:
        at = raw.rindex(b"\x80\x02]")
        keys = pickle.loads(raw[at:])
        return raw[:at] + pickle.dumps([*keys[:-1], "7"], 2) + raw[at + len(pickle.dumps(keys, 2)) :]

    assert refused(stream(tmp_path, another_key)).id == "ART-02.tensors"


def test_views_of_storages_as_before_2018_are_refused(tmp_path: Path) -> None:
    def with_view(raw: bytes) -> bytes:
        return raw.replace(b"K\x04Nt", b"K\x04K\x01t", 1)

    finding = refused(stream(tmp_path, with_view))
    assert finding.id == "ART-01.pickle"


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], bytes]:
    """Return the entries of a checkpoint in the zip format, and the same as a stream."""
    import torch

    folder = tmp_path_factory.mktemp("seeds")
    value = {"a": torch.arange(6.0).reshape(2, 3).t(), "p": torch.nn.Parameter(torch.ones(2)), "n": [1, 2.5, "x"]}
    stream = save(folder / "stream.pt", value, _use_new_zipfile_serialization=False)
    return entries_of(save(folder / "m.pt", value)), stream.read_bytes()


def mutated(content: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), as_zip=st.booleans())
def test_mutated_checkpoints_are_read_as_torch_reads_them_or_refused(
    data: st.DataObject, as_zip: bool, seeds: tuple[dict[str, bytes], bytes], tmp_path: Path
) -> None:
    import torch

    path, (entries, stream) = tmp_path / "m.pt", seeds
    if as_zip:
        archive(path, {**entries, "m/data.pkl": mutated(entries["m/data.pkl"], data)})
    else:
        path.write_bytes(mutated(stream, data))
    if inspect(path, filename="m.pt").verdict == "rejected":
        return
    _, ours = carried(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            theirs = torch.load(path, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):
        return  # torch itself does not take it, as a device that it has not
    tensors = {name: value.detach() for name, value in theirs.items() if isinstance(value, torch.Tensor)}
    assert tensors
    assert all(ours[str(name)].numpy().tobytes() == tensor.numpy().tobytes() for name, tensor in tensors.items())


def test_old_archives_and_compressed_ones_are_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            file.addfile(tarfile.TarInfo(name))
    path = tmp_path / "m.pt"
    path.write_bytes(buffer.getvalue())
    finding = refused(path)
    assert (finding.id, "before 2017" in finding.detail) == ("ART-03.format", True)
    path.write_bytes(gzip.compress(buffer.getvalue()))
    assert "unpack it" in refused(path).detail


@pytest.mark.parametrize("names", [["m/data.pkl"], ["a.npy"], ["config.json", "metadata.json"]])
def test_what_comes_in_a_zip_archive_does_not_come_in_a_tar(tmp_path: Path, names: list[str]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name in names:
            file.addfile(tarfile.TarInfo(name))
    (tmp_path / "m").write_bytes(buffer.getvalue())
    finding = refused(tmp_path / "m")
    assert (finding.id, "which is a zip archive" in finding.detail) == ("ART-02.archive", True)


def test_a_big_endian_file_says_the_type_of_every_storage(tmp_path: Path) -> None:
    import torch

    entries = entries_of(save(tmp_path / "m.pt", {"w": torch.ones(2, dtype=torch.uint16)}))
    finding = refused(archive(tmp_path / "n.pt", {**entries, "m/byteorder": b"big"}))
    assert (finding.id, finding.place) == ("ART-02.tensors", "w")


def test_a_pickle_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({"a": 1}, 4))
    assert refused(path).id == "ART-03.format"
