"""Checkpoints that people save are taken, and every tensor arrives in the canonical copy as torch itself reads it."""

from __future__ import annotations

import collections
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.artifacts.weights_files import archive, carried, entries_of, save


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the tensors of nested dicts and lists by dotted name."""
    import torch

    if isinstance(value, torch.Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {
        key: tensor
        for part, inner in items
        for key, tensor in flat(inner, f"{name}.{part}" if name else str(part)).items()
    }


def same(ours: Any, theirs: Any) -> bool:
    import torch

    theirs = theirs.detach().resolve_conj().resolve_neg()
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    return (
        torch.equal(ours.contiguous().view(torch.uint8), theirs.contiguous().view(torch.uint8))
        if ours.dim()
        else (torch.equal(ours.reshape(1).view(torch.uint8), theirs.reshape(1).view(torch.uint8)))
    )


def trained() -> dict[str, Any]:
    """Return a checkpoint as a training loop keeps it: model, Adam after steps, gradient scaler, schedule."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(module.parameters(), amsgrad=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(8, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(1))
    return {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": 3,
        "rng": torch.get_rng_state(),
        "version": torch.__version__,
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "stream"])
def test_a_checkpoint_with_optimizer_scaler_and_schedule(tmp_path: Path, protocol: int, as_zip: bool) -> None:
    value = trained()
    path = save(tmp_path / "checkpoint.pt", value, pickle_protocol=protocol, _use_new_zipfile_serialization=as_zip)
    inspection, tensors = carried(path)
    assert (inspection.format, inspection.framework) == ("state_dict", "pytorch")
    expected = flat(value)
    assert set(tensors) == set(expected)
    assert "optimizer.state.0.exp_avg" in tensors
    assert all(same(tensors[name], expected[name]) for name in expected)
    (left_out,) = inspection.findings
    assert (left_out.id, left_out.severity) == ("ART-03.left_out", "info")
    assert "'optimizer.param_groups.0.lr'" in left_out.detail


def test_dtypes_that_numpy_lacks_and_complex_numbers(tmp_path: Path) -> None:
    import torch

    numbers = torch.arange(6.0).reshape(2, 3)
    value = {
        str(dtype): numbers.to(dtype)
        for dtype in (
            torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
            torch.bfloat16, torch.float16, torch.float64, torch.complex64, torch.uint16, torch.uint32, torch.uint64,
            torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool,
        )
    }  # fmt: skip
    value["conjugate"] = (numbers + 2j).conj()
    value["negative"] = (numbers + 2j).conj().imag
    inspection, tensors = carried(save(tmp_path / "dtypes.pt", value))
    assert set(tensors) == set(value)
    assert all(same(tensors[name], value[name]) for name in value)
    assert ["'conjugate', 'negative'" in entry.detail for entry in inspection.findings] == [True]


def test_complex_numbers_that_safetensors_lacks_are_pairs_of_real_ones(tmp_path: Path) -> None:
    import torch

    value = torch.tensor([[1 + 2j, 3 - 4j]], dtype=torch.complex128)
    inspection, tensors = carried(save(tmp_path / "complex.pt", {"c": value, "t": value.t()}))
    assert torch.equal(torch.view_as_complex(tensors["c"]), value)
    assert torch.equal(torch.view_as_complex(tensors["t"]), value.t())
    assert [entry.id for entry in inspection.findings] == ["ART-03.rearranged"]


@pytest.mark.filterwarnings("ignore:.*[Ss]parse:UserWarning")
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "bsc"])
def test_sparse_tensors_are_kept_as_their_parts(tmp_path: Path, layout: str) -> None:
    import torch

    dense = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    options = {"blocksize": (2, 1)} if layout in ("bsr", "bsc") else {}
    sparse = getattr(dense, f"to_sparse_{layout}")(**options) if layout != "coo" else dense.to_sparse()
    inspection, tensors = carried(save(tmp_path / "sparse.pt", {"s": sparse}))
    assert "'s'" in inspection.findings[0].detail
    assert tensors["s.size"].tolist() == [4, 2]
    if layout == "coo":
        again = torch.sparse_coo_tensor(tensors["s.indices"], tensors["s.values"], (4, 2))
    else:
        outer, inner = ("crow", "col") if layout in ("csr", "bsr") else ("ccol", "row")
        again = torch.sparse_compressed_tensor(
            tensors[f"s.{outer}_indices"], tensors[f"s.{inner}_indices"], tensors["s.values"], (4, 2),
            layout=sparse.layout,
        )  # fmt: skip
    assert torch.equal(again.to_dense(), dense)


@pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning", "ignore:.*TypedStorage:UserWarning")
def test_quantised_tensors_are_kept_as_their_parts(tmp_path: Path) -> None:
    import torch

    numbers = torch.arange(6.0).reshape(2, 3)
    whole = torch.quantize_per_tensor(numbers, 0.1, 2, torch.qint8)
    channels = torch.quantize_per_channel(numbers, torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.quint8)
    inspection, tensors = carried(save(tmp_path / "quantised.pt", {"t": whole, "c": channels}))
    assert torch.equal(tensors["t.int_repr"], whole.int_repr())
    assert (tensors["t.scale"].item(), tensors["t.zero_point"].item()) == (0.1, 2)
    assert torch.equal(tensors["c.int_repr"], channels.int_repr())
    assert torch.equal(tensors["c.scales"], channels.q_per_channel_scales())
    assert torch.equal(tensors["c.zero_points"], channels.q_per_channel_zero_points())
    assert tensors["c.axis"].item() == 0
    assert inspection.findings[0].id == "ART-03.rearranged"


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "stream"])
def test_views_and_tied_weights_are_written_once_for_each_name(tmp_path: Path, as_zip: bool) -> None:
    import torch

    base = torch.arange(24.0).reshape(2, 3, 4)
    value = collections.OrderedDict(
        base=base, tied=base, turned=base.permute(2, 0, 1), row=base[1, 1], column=base[:, :, 2],
        spread=base[:1, :1, 0].expand(5, 3), empty=base[:0], number=base[0, 0, 3], stepped=base[:, ::2, ::3],
    )  # fmt: skip
    path = save(tmp_path / "views.pt", value, _use_new_zipfile_serialization=as_zip)
    inspection, tensors = carried(path)
    assert set(tensors) == set(value)
    assert all(torch.equal(tensors[name], value[name]) for name in value)
    (tied,) = inspection.findings
    assert (tied.id, "'tied'" in tied.detail) == ("ART-03.rearranged", True)


def test_a_large_view_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from workers.artifacts.weights import tensors as tensors_module

    monkeypatch.setattr(tensors_module, "PIECE_BYTES", 64)
    value = {
        "turned": torch.arange(600.0).reshape(20, 30).t(),
        "long": torch.arange(100.0)[::3],
        "plain": torch.ones(99),
    }
    _, tensors = carried(save(tmp_path / "large.pt", value))
    assert all(torch.equal(tensors[name], value[name]) for name in value)


def test_values_of_numpy_become_tensors_and_the_findings_say_so(tmp_path: Path) -> None:
    value = {
        "loss": np.float64(0.5), "steps": np.int64(7), "done": np.bool_(True), "name": np.str_("ab"),
        "scores": np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)), "wide": np.ones(2, "c16"),
        "state": np.random.RandomState(0).get_state(),
    }  # fmt: skip
    inspection, tensors = carried(save(tmp_path / "numpy.pt", value))
    assert (tensors["loss"].item(), tensors["steps"].item(), tensors["done"].item()) == (0.5, 7, True)
    assert np.array_equal(tensors["scores"].numpy(), value["scores"])
    assert np.array_equal(tensors["state.1"].numpy(), value["state"][1])
    assert tensors["wide"].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert "name" not in tensors
    said = " ".join(entry.detail for entry in inspection.findings)
    assert "Numbers of NumPy are written as tensors" in said
    assert "'name'" in said


def test_plain_values_of_all_kinds_are_left_out(tmp_path: Path) -> None:
    import torch

    value = {
        "w": torch.ones(1), "size": torch.Size([1, 2]), "device": torch.device("cuda", 1), "dtype": torch.float32,
        "set": {1, "a"}, "frozen": frozenset([1]), "complex": 1j, "bytes": b"\xff", "array": bytearray(b"x"),
        "none": None, "large": 2**70, "counter": collections.Counter("aab"), "code": "__import__('os')",
        "scheme": torch.per_tensor_affine, ("a", 1): 2, 5: "five",
        "kind": np.dtype("f4"),
    }  # fmt: skip
    inspection, tensors = carried(save(tmp_path / "plain.pt", value))
    assert set(tensors) == {"w"}
    assert inspection.findings[0].detail.count("'") == 10, "five names are shown"


def test_parameters_attributes_buffers_and_storages(tmp_path: Path) -> None:
    import torch

    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.partition_dim = 1
    marked = torch.ones(3)
    marked.tag = "x"
    value = {
        "parameter": parameter, "marked": marked, "buffer": torch.nn.Buffer(torch.ones(4)),
        "meta": torch.ones(2, device="meta"), "storage": torch.arange(2.0).untyped_storage(),
    }  # fmt: skip
    inspection, tensors = carried(save(tmp_path / "attributes.pt", value))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "parameter": (2,), "marked": (3,), "buffer": (4,), "storage": (8,),
    }  # fmt: skip
    assert any("'meta'" in entry.detail for entry in inspection.findings)


def test_names_may_be_unicode_and_a_single_tensor_is_named(tmp_path: Path) -> None:
    import torch

    _, tensors = carried(save(tmp_path / "Größe.pt", {"größe": {"层": torch.ones(1)}}))
    assert set(tensors) == {"größe.层"}
    _, tensors = carried(save(tmp_path / "one.pt", torch.ones(2)))
    assert set(tensors) == {"tensor"}


def test_a_huge_dict_is_read(tmp_path: Path) -> None:
    import torch

    shared = torch.arange(3000.0)
    value = {f"layers.{number}.weight": shared[number : number + 1] for number in range(3000)}
    value["history"] = list(range(20_000))
    _, tensors = carried(save(tmp_path / "huge.pt", value))
    assert len(tensors) == 3000
    assert tensors["layers.2999.weight"].item() == 2999


def test_what_the_c_library_and_older_versions_leave_out_is_not_needed(tmp_path: Path) -> None:
    import torch

    entries = entries_of(save(tmp_path / "new.pt", {"w": torch.ones(2)}))
    kept = {
        name: content
        for name, content in entries.items()
        if not name.endswith(("byteorder", "_id", "ment", "format_version"))
    }
    _, tensors = carried(archive(tmp_path / "old.pt", kept))
    assert tensors["w"].tolist() == [1, 1]


def test_compressed_entries_are_unpacked(tmp_path: Path) -> None:
    import torch

    value = {"w": torch.arange(1000.0).reshape(10, 100), "t": torch.arange(1000.0).reshape(10, 100).t()}
    entries = entries_of(save(tmp_path / "stored.pt", value))
    _, tensors = carried(archive(tmp_path / "deflated.pt", entries, method=zipfile.ZIP_DEFLATED))
    assert all(torch.equal(tensors[name], value[name]) for name in value)


def test_a_file_of_a_big_endian_machine_is_turned(tmp_path: Path) -> None:
    import torch

    value = {
        "f": torch.arange(3.0),
        "c": torch.tensor([1 + 2j]),
        "b": torch.ones(2, dtype=torch.bfloat16),
        "i": torch.tensor(5),
    }
    entries = entries_of(save(tmp_path / "little.pt", value))
    widths = {"data/0": 4, "data/1": 4, "data/2": 2, "data/3": 8}
    for name in list(entries):
        inner = name.partition("/")[2]
        if inner == "byteorder":
            entries[name] = b"big"
        elif inner in widths:
            entries[name] = np.frombuffer(entries[name], f"u{widths[inner]}").byteswap().tobytes()
    inspection, tensors = carried(archive(tmp_path / "big.pt", entries))
    assert all(torch.equal(tensors[name], value[name]) for name in value)
    assert "big-endian" in inspection.findings[0].detail


def test_the_same_weights_give_the_same_canonical_bytes(tmp_path: Path) -> None:
    import torch

    value = {"b": torch.ones(2), "a": torch.zeros(3, dtype=torch.float64)}
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    carried(save(first, value))
    carried(save(second, dict(reversed(value.items())), _use_new_zipfile_serialization=False))
    copies = [path.with_suffix(".rewritten.safetensors").read_bytes() for path in (first, second)]
    assert copies[0] == copies[1]
