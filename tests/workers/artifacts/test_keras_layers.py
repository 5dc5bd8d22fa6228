"""Models of every kind of layer pass in every format that Keras saves, and answer the same once written anew."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.workers.artifacts import keras_models
from tests.workers.artifacts.crafting import read_entries
from tests.workers.artifacts.hdf5_files import as_h5py_reads, as_we_read, written
from tests.workers.artifacts.keras_models import keras, rows_for
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:keras")


def assert_same_answers(source: Path, target: Path) -> None:
    k = keras()
    original, rewritten = (k.saving.load_model(path, safe_mode=True, compile=False) for path in (source, target))
    rows = rows_for(original)
    answers = [k.ops.convert_to_numpy(model(rows, training=False)) for model in (original, rewritten)]
    assert np.array_equal(*answers)
    assert [weight.path for weight in original.weights] == [weight.path for weight in rewritten.weights]


@pytest.mark.parametrize("build", keras_models.AS_KERAS, ids=lambda build: build.__name__)
def test_a_keras_file_is_taken_and_answers_the_same(build: Callable[[], Any], tmp_path: Path) -> None:
    source, target = tmp_path / "source.keras", tmp_path / "rewritten.keras"
    model = build()
    model.save(source)
    weights = read_entries(source)["model.weights.h5"]
    assert as_we_read(weights) == as_h5py_reads(weights)
    inspection = inspect(source, filename=source.name)
    assert (inspection.findings, inspection.verdict) == ((), "registered")
    rewrite(source, inspection, target)
    assert_same_answers(source, target)


@pytest.mark.parametrize("build", keras_models.EVERYWHERE, ids=lambda build: build.__name__)
def test_a_legacy_model_and_weights_alone_are_taken(build: Callable[[], Any], tmp_path: Path) -> None:
    model, source, target = build(), tmp_path / "source.h5", tmp_path / "rewritten.h5"
    model.save(source)
    assert as_we_read(source.read_bytes()) == as_h5py_reads(source.read_bytes())
    inspection = inspect(source, filename=source.name)
    assert (inspection.findings, inspection.format, inspection.framework) == ((), "h5", "keras")
    rewrite(source, inspection, target)
    assert_same_answers(source, target)

    weights = tmp_path / "only.weights.h5"
    model.save_weights(weights)
    expected = as_h5py_reads(weights.read_bytes())
    assert as_we_read(weights.read_bytes()) == expected
    inspection = inspect(weights, filename=weights.name)
    assert (inspection.findings, inspection.format, inspection.framework) == ((), "weights_h5", "keras")
    rewrite(weights, inspection, tmp_path / "rewritten.safetensors")
    tensors = load_file(tmp_path / "rewritten.safetensors")
    arrays = {path.removeprefix("/"): value for path, value in expected.items() if isinstance(value, tuple)}
    assert set(tensors) == set(arrays)
    for name, (_, shape, dtype, raw) in arrays.items():
        assert (tensors[name].shape, tensors[name].dtype.name, tensors[name].tobytes()) == (shape, dtype, raw)


def test_bfloat16_stays_what_it_is_in_the_tensors(tmp_path: Path) -> None:
    k = keras()
    rows = k.Input((3,))
    model = k.Model(rows, k.layers.Dense(2, dtype="bfloat16")(rows))
    source, target = tmp_path / "only.weights.h5", tmp_path / "rewritten.safetensors"
    model.save_weights(source)
    rewrite(source, inspect(source, filename=source.name), target)
    kernel = load_file(target)["layers/dense/vars/0"]
    assert kernel.dtype.name == "bfloat16"
    assert np.array_equal(kernel.astype("float32"), np.asarray(model.get_weights()[0]).astype("float32"))


def test_a_file_without_an_array_is_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "empty.weights.h5"
    path.write_bytes(written(lambda file: file.create_group("layers")))
    inspection = inspect(path, filename=path.name)
    assert (inspection.verdict, inspection.findings[0].id) == ("rejected", "ART-02.missing_entry")


def test_what_is_written_anew_is_the_same_from_any_save_and_from_itself(tmp_path: Path) -> None:
    model = keras_models.given_words()
    for suffix in (".keras", ".h5"):
        paths = [tmp_path / f"{name}{suffix}" for name in ("source", "first", "second")]
        model.save(paths[0])
        for source, target in itertools.pairwise(paths):
            rewrite(source, inspect(source, filename=source.name), target)
        assert paths[1].read_bytes() == paths[2].read_bytes()


def test_a_vocabulary_is_written_anew_from_its_lines(tmp_path: Path) -> None:
    source, target = tmp_path / "source.keras", tmp_path / "rewritten.keras"
    keras_models.adapted_lookups().save(source)
    rewrite(source, inspect(source, filename=source.name), target)
    entries = read_entries(target)
    assets = {name: content.decode().split("\n") for name, content in entries.items() if name.startswith("assets/")}
    assert set(assets) == {
        "assets/layers/string_lookup/vocabulary.txt",
        "assets/layers/integer_lookup/vocabulary.txt",
    }
    assert set(assets["assets/layers/string_lookup/vocabulary.txt"]) == {"[UNK]", "a", "b", "ü", "os.system('x')"}
    assert json.loads(entries["config.json"])["class_name"] == "Functional"
