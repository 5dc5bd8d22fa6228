"""Every kind of data all over REST: upload, validate, clean, validate again, train with both frameworks."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from PIL import Image

from tests import tiny_models
from tests.api.working import Person, work
from tests.workers.datasets.pictures import archive, encoded

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LENGTH, SIZE, SIDE = 8, 64, 8
CITIES = ["Bonn", "Kiel", "Ulm"]
CLASSES = ["dark", "light"]
FRAMEWORKS = {"keras": "keras", "pytorch": "pt2"}
RECIPE = {
    "optimizer": {"name": "sgd", "learning_rate": 0.001},
    "epochs": 1,
    "batch_size": 16,
    "seed": 7,
}
ROWS = 40
QUARANTINE = {"action": "quarantine"}


def rule(kind: str, action: dict[str, str], **kwargs: Any) -> dict[str, Any]:
    name, meta = f"expect_column_values_to_{kind}", {"clean": action}
    return {"type": name, "kwargs": kwargs, "severity": "critical", "meta": meta}


@dataclass(frozen=True)
class Kind:
    """A kind of data: its file and schema, a suite, the rows that it takes out, and what it trains."""

    name: str
    file: Path
    schema: dict[str, Any] | None
    suite: list[dict[str, Any]]
    faulty: int
    model: str
    is_measured: bool = True
    loss: str = "cross_entropy"


def images(folder: Path) -> Kind:
    """Dark and light noise in class folders; one image is cut off, one is blank, one stands twice."""
    generator = np.random.default_rng(0)
    files = {}
    for number in range(ROWS):
        low = 130 * (number % 2)
        pixels = generator.integers(low, low + 120, (8, 8), dtype=np.uint8)
        files[f"{CLASSES[number % 2]}/{number}.png"] = encoded(pixels)
    files["dark/cut.png"] = files["dark/0.png"][:50]
    files["dark/blank.png"] = encoded(np.zeros((8, 8), np.uint8))
    files["light/again.png"] = files["light/1.png"]
    suite = [
        rule("be_in_set", QUARANTINE, column="image.decodes", value_set=[True]),
        rule("be_between", QUARANTINE, column="image.entropy", min_value=1),
        rule("be_unique", {"action": "dedupe"}, column="image.hash"),
    ]
    return Kind("images", archive(folder / "images.zip", files), None, suite, 3, "pictures")


def texts(folder: Path) -> Kind:
    """Short reviews; one is empty, one has control characters, one differs from another in case only."""
    words = ["good", "fine", "warm", "bad", "cold", "slow", "film", "plot", "cast", "end"]
    generator = np.random.default_rng(1)
    rows = [(f"review {number} " + " ".join(generator.choice(words, 5)), CLASSES[number % 2]) for number in range(ROWS)]
    rows += [("", "dark"), ("bell \x07\x07\x07 film", "dark"), (rows[3][0].upper(), rows[3][1])]
    path = folder / "texts.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("review", "label"), *rows])
    tokens = {"length": LENGTH, "size": SIZE}
    columns = {
        "review": {"role": "feature", "type": "text", "tokens": tokens},
        "label": {"role": "target", "type": "category"},
    }
    suite = [
        rule("be_between", QUARANTINE, column="review.length", min_value=1),
        rule("be_between", QUARANTINE, column="review.control_characters", max_value=0),
        rule("be_unique", {"action": "dedupe"}, column="review.hash"),
    ]
    return Kind("texts", path, {"modality": "text", "columns": columns}, suite, 3, "reviews")


def tokens(folder: Path) -> Kind:
    """Rows of ids under the name that the model knows; one row is nothing but padding."""
    generator = np.random.default_rng(2)
    ids = generator.integers(1, SIZE, (ROWS + 1, LENGTH)).astype(np.int32)
    ids[5] = 0
    path = folder / "tokens.npz"
    np.savez(path, **{"review.tokens": ids, "label": np.array(CLASSES * 21)[: ROWS + 1]})
    columns = {
        "review.tokens": {"role": "feature", "type": "tokens", "shape": [LENGTH]},
        "label": {"role": "target", "type": "category"},
    }
    suite = [rule("be_between", QUARANTINE, column="review.tokens.maximum", min_value=1)]
    return Kind("tokens", path, {"modality": "text", "columns": columns}, suite, 1, "reviews")


def interactions(folder: Path) -> Kind:
    """Who rated what, how, and when; one rating is beyond the scale, one interaction stands twice."""
    rows = [(number % SIDE, number // SIDE % SIDE, 1 + number % 5, moment(number)) for number in range(ROWS)]
    path = written(
        folder / "interactions.csv", ("user", "item", "rating", "time"), [*rows, (1, 2, 9, moment(0)), rows[7]]
    )
    columns = {
        "user": {"role": "feature", "type": "integer"},
        "item": {"role": "feature", "type": "integer"},
        "rating": {"role": "target", "type": "integer"},
        "time": {"role": "timestamp", "type": "datetime"},
    }
    unique = {
        "type": "expect_compound_columns_to_be_unique",
        "kwargs": {"column_list": ["user", "item", "time"]},
        "severity": "critical",
        "meta": {"clean": {"action": "dedupe"}},
    }
    suite = [rule("be_between", QUARANTINE, column="rating", min_value=1, max_value=5), unique]
    schema = {"modality": "interactions", "columns": columns}
    return Kind("interactions", path, schema, suite, 2, "ratings", is_measured=False, loss="mean_squared_error")


def table(folder: Path) -> Kind:
    """People with a few missing ages; one lives in no known city, one came before there was anybody."""
    rows: list[tuple[Any, ...]] = [
        ("" if number % 9 == 4 else 20 + number, f"{number}.50", CITIES[number % 3], f"2024-02-{1 + number % 29:02}")
        for number in range(ROWS)
    ]
    rows += [(40, "7.25", "Atlantis", "2024-02-29"), (41, "8.75", CITIES[0], "1024-02-29")]
    labelled = [(*row, CLASSES[number % 2]) for number, row in enumerate(rows)]
    path = written(folder / "table.csv", ("age", "income", "city", "since", "label"), labelled)
    columns = {
        "age": {"role": "feature", "type": "integer"},
        "income": {"role": "feature", "type": "decimal"},
        "city": {"role": "protected", "type": "category"},
        "since": {"role": "timestamp", "type": "date"},
        "label": {"role": "target", "type": "category"},
    }
    suite = [
        rule("not_be_null", {"action": "impute", "method": "median"}, column="age"),
        rule("be_in_set", QUARANTINE, column="city", value_set=CITIES),
        rule("be_between", QUARANTINE, column="since", min_value="2020-01-01T00:00:00"),
        rule("be_between", QUARANTINE, column="income", min_value=0),
    ]
    return Kind("table", path, {"modality": "tabular", "columns": columns}, suite, 2, "people", is_measured=False)


def moment(number: int) -> str:
    return f"2024-01-01 10:{number:02}:00"


def written(path: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([names, *rows])
    return path


def test_every_kind_goes_from_upload_to_a_model_of_each_framework(tmp_path: Path) -> None:
    alice = Person("alice", "engineers")
    kinds = [images(tmp_path), texts(tmp_path), tokens(tmp_path), interactions(tmp_path), table(tmp_path)]
    register(alice, tmp_path)
    for kind in kinds:
        upload(alice, kind)
    work()
    for kind in kinds:
        assert_imported(alice, kind)

    validate(alice, kinds)
    clean(alice, kinds)
    assert_valid(alice, kinds)
    train(alice, kinds)
    assert_pictures_are_png(alice)


def register(alice: Person, folder: Path) -> None:
    for framework, suffix in FRAMEWORKS.items():
        pictures = tiny_models.cnn(folder / f"pictures.{suffix}", classes=2)
        reviews = tiny_models.token_classifier(folder / f"reviews.{suffix}", length=LENGTH, size=SIZE)
        people = tiny_models.linear_classifier(folder / f"people.{suffix}")
        ratings = tiny_models.ratings(folder / f"ratings.{suffix}", users=SIDE, items=SIDE)
        ids = {"name": "tokens", "shape": [-1, LENGTH], "dtype": "int32", "columns": ["review.tokens"]}
        pair = [{"name": name, "shape": [-1, 1], "dtype": "int64", "columns": [name]} for name in ("user", "item")]
        classified = tiny_models.signature(classes=CLASSES, columns=["age", "income"])
        rated = tiny_models.signature(outputs=1, kind="value")
        for name, file, task, signature in (
            ("pictures", pictures, "classification", classified | image_inputs()),
            ("reviews", reviews, "classification", classified | {"inputs": [ids]}),
            ("people", people, "classification", classified),
            ("ratings", ratings, "regression", rated | {"inputs": pair}),
        ):
            about = {"name": f"{name}-{framework}", "task": task, "tier": "low", "intended_use": "A test."}
            alice.post("models/", about, status=201)
            alice.upload(f"models/{name}-{framework}/versions/", file, signature=json.dumps(signature))


def image_inputs() -> dict[str, Any]:
    return {"inputs": tiny_models.image_signature()["inputs"]}


def upload(alice: Person, kind: Kind) -> None:
    alice.post("datasets/", {"name": kind.name}, status=201)
    fields = {} if kind.schema is None else {"schema": json.dumps(kind.schema)}
    alice.upload(f"datasets/{kind.name}/versions/", kind.file, **fields)
    alice.post("suites/", {"name": f"{kind.name}-suite", "expectations": kind.suite}, status=201)


def assert_imported(alice: Person, kind: Kind) -> None:
    version = alice.get(f"datasets/{kind.name}/versions/1/")
    assert (version["state"], version["row_count"]) == ("ready", ROWS + kind.faulty), version["state_reason"]
    roles = {name: column["role"] for name, column in version["schema"]["columns"].items()}
    assert "target" in roles.values()
    assert ("metadata" in roles.values()) is kind.is_measured
    assert kind.name != "images" or version["media"]["image"]["problem_count"] == 1
    if kind.schema is not None:
        stated = kind.schema["columns"]
        assert {name: version["schema"]["columns"][name]["type"] for name in stated} == {
            name: column["type"] for name, column in stated.items()
        }


def validate(alice: Person, kinds: list[Kind]) -> None:
    started = [
        alice.post("validations/", {"dataset": f"{kind.name}/1", "suite": f"{kind.name}-suite/1"}) for kind in kinds
    ]
    work()
    for request in started:
        validation = alice.get(f"validations/{request['id']}/")
        assert validation["success"] is False, validation["results"]
        assert validation["statistics"]["errored"] == 0, validation["results"]


def assert_valid(alice: Person, kinds: list[Kind]) -> None:
    """Check that the job of each cleaning has validated what it left."""
    by_dataset = {validation["dataset"]: validation for validation in alice.get("validations/")["results"]}
    for kind in kinds:
        validation = by_dataset[f"{kind.name}/2"]
        assert validation["success"] is True, validation
        assert validation["statistics"]["errored"] == 0, validation


def clean(alice: Person, kinds: list[Kind]) -> None:
    started = [
        alice.post("cleanings/", {"dataset": f"{kind.name}/1", "suite": f"{kind.name}-suite/1"}) for kind in kinds
    ]
    work()
    for kind, request in zip(kinds, started, strict=True):
        cleaning = alice.get(f"cleanings/{request['id']}/")
        assert cleaning["cleaned_to"] == f"{kind.name}/2", cleaning
        report = cleaning["report"]
        assert (report["rows_in"], report["rows_out"]) == (ROWS + kind.faulty, ROWS)
        assert report["cells_changed"] == (4 if kind.name == "table" else 0)
        media = alice.get(f"datasets/{kind.name}/versions/2/")["media"]
        assert {"images": ["image"], "texts": ["review"]}.get(kind.name, []) == list(media)
        assert all(shown["problem_count"] == 0 for shown in media.values())


def train(alice: Person, kinds: list[Kind]) -> None:
    started = [
        alice.post(
            "trainings/",
            {
                "model": f"{kind.model}-{framework}/1",
                "dataset": f"{kind.name}/2",
                "recipe": {**RECIPE, "loss": kind.loss},
            },
        )
        for kind in kinds
        for framework in FRAMEWORKS
    ]
    work()
    for request in started:
        training = alice.get(f"trainings/{request['id']}/")
        assert training["job"]["state"] == "succeeded", training["job"]
        assert training["produced"]
        assert np.isfinite(training["history"][0]["loss"])


def assert_pictures_are_png(alice: Person) -> None:
    browser = Client()
    browser.force_login(User.objects.get(username="alice"))
    for number in (1, 2):
        shown = alice.get(f"datasets/images/versions/{number}/")["media"]["image"]
        response = browser.get(reverse("file", args=[shown["digest"], shown["file"]]))
        assert response["Content-Type"] == "image/png"
        assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
        Image.open(io.BytesIO(response.getvalue())).verify()
