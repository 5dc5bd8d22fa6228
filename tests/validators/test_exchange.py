"""Splits, comparisons, datasheets, lineage and Croissant: what the record keeps, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from governance import job_kinds
from governance.exceptions import InvalidInput, NotAllowed, StateConflict
from governance.models import DatasetState, DatasetVersion, Event, InstallationKey, StatementKind, StoredFile
from governance.services import statements
from tests import factories, page_factories
from validators import lineage
from validators.datasheets import KEYS
from validators.models import Comparison, Split
from validators.services import comparisons, croissant, datasheets, splits
from workers.protocol import digest_of_bytes
from workers.provenance.dsse import Envelope
from workers.provenance.statement import Statement

pytestmark = pytest.mark.django_db

PLAN = page_factories.SPLIT_PLAN
ROWS = page_factories.COMPARISON["rows"]


def ended_split(dataset: DatasetVersion, by: User) -> Split:
    split = splits.request_split(dataset=dataset, plan=PLAN, by=by)
    value = {
        "plan": split.plan,
        "report": page_factories.SPLIT_REPORT,
        "content_digest": digest_of_bytes(b"split"),
        "row_count": 100,
        "schema": {
            "modality": "tabular",
            "columns": {**factories.SCHEMA["columns"], "split": {"role": "split", "type": "category"}},
        },
        "profile": {},
        "media": {},
    }
    _record("split", split.job, value, {"split.parquet": factories.StoredFileFactory()})
    split.refresh_from_db()
    return split


def ended_comparison(by: User, **versions: DatasetVersion) -> Comparison:
    before = versions.get("before") or factories.DatasetVersionFactory(profile=page_factories.PROFILE)
    after = versions.get("after") or factories.DatasetVersionFactory(
        dataset=before.dataset, number=2, profile=page_factories.PROFILE
    )
    made = comparisons.request_comparison(before=before, after=after, by=by)
    _record("comparison", made.job, page_factories.COMPARISON, {"differences.parquet": page_factories.stored(b"PAR1")})
    made.refresh_from_db()
    return made


def _record(kind: str, job: Any, value: dict[str, Any], files: dict[str, StoredFile]) -> None:
    import jsonschema

    known = job_kinds.get(kind)
    jsonschema.validate(value, known.result_schema)
    known.record(job, value, files)


def test_a_split_makes_a_signed_version_that_says_what_it_was_split_from(
    alice: User, signing_key: InstallationKey
) -> None:
    dataset = factories.DatasetVersionFactory()

    split = ended_split(dataset, alice)

    made = split.split_to
    assert made is not None
    assert (made.split_from, made.made_from, made.state) == (dataset, dataset, DatasetState.READY)
    assert made.read_schema().split == "split"
    assert Event.objects.filter(name="dataset.split", subject=made.ref).exists()
    signed = statements.of(StatementKind.DATASET, made.ref)
    assert signed is not None
    assert signed.key == signing_key
    statement = Statement.parse(Envelope.from_json(signed.envelope).payload)
    assert statement.predicate["splitFrom"]["name"] == dataset.ref


def test_the_column_of_role_id_decides_where_no_other_is_named(alice: User) -> None:
    schema = {
        "modality": "tabular",
        "columns": {**factories.SCHEMA["columns"], "applicant": {"role": "id", "type": "string"}},
    }

    with_id = splits.request_split(dataset=factories.DatasetVersionFactory(schema=schema), plan=PLAN, by=alice)
    without = splits.request_split(dataset=factories.DatasetVersionFactory(), plan=PLAN, by=alice)

    assert (with_id.plan["by"], without.plan["by"]) == ("applicant", None)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"fractions": {"train": 0.9, "test": 0.9}}, "sum to 1.8"),
        ({**PLAN, "by": "nobody"}, "no column 'nobody'"),
        ({**PLAN, "column": "age"}, "of another role"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_its_reason(alice: User, plan: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as refused:
        splits.request_split(dataset=factories.DatasetVersionFactory(), plan=plan, by=alice)

    assert refused.value.errors[0]["place"] == "plan"
    assert not Split.objects.exists()


def test_auditors_compare_and_do_not_split(dave: User) -> None:
    with pytest.raises(NotAllowed):
        splits.request_split(dataset=factories.DatasetVersionFactory(), plan=PLAN, by=dave)

    assert ended_comparison(dave).result["rows"] == ROWS


def test_a_version_is_not_compared_with_itself_nor_before_it_is_ready(alice: User) -> None:
    ready = factories.DatasetVersionFactory()
    with pytest.raises(InvalidInput, match="with itself"):
        comparisons.request_comparison(before=ready, after=ready, by=alice)
    importing = factories.DatasetVersionFactory(state=DatasetState.IMPORTING, table=None)
    with pytest.raises(StateConflict, match="only a ready version"):
        comparisons.request_comparison(before=ready, after=importing, by=alice)


def test_a_datasheet_is_kept_by_number_and_the_same_answers_are_no_new_one(alice: User) -> None:
    dataset = factories.DatasetFactory(owner=alice)

    first = datasheets.write_datasheet(dataset=dataset, answers={"purpose": " To learn. ", "funding": " "}, by=alice)
    same = datasheets.write_datasheet(dataset=dataset, answers={"purpose": "To learn."}, by=alice)
    second = datasheets.write_datasheet(dataset=dataset, answers={"purpose": "To teach."}, by=alice)

    assert first.answers == {"purpose": "To learn."}
    assert (first.number, same.number, second.number) == (1, 1, 2)
    assert datasheets.newest_datasheet(dataset) == second
    assert Event.objects.filter(name="datasheet.written").count() == 2


@pytest.mark.parametrize(
    ("answers", "place"),
    [([], "answers"), ({"color": "red"}, "answers.color"), ({"purpose": 3}, "answers.purpose"),
     ({"purpose": "x" * 20_001}, "answers.purpose")],
)  # fmt: skip
def test_answers_that_are_none_are_refused_by_key(alice: User, answers: Any, place: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        datasheets.write_datasheet(dataset=factories.DatasetFactory(owner=alice), answers=answers, by=alice)

    assert refused.value.errors[0]["place"] == place


def test_only_the_owner_writes_a_datasheet(dave: User, alice: User) -> None:
    with pytest.raises(NotAllowed, match="Only the owner"):
        datasheets.write_datasheet(dataset=factories.DatasetFactory(owner=alice), answers={}, by=dave)


def test_the_graph_has_what_a_version_came_from_and_what_came_of_it_and_no_cousins(alice: User) -> None:
    raw = factories.DatasetVersionFactory(filename="loans.csv", upload=factories.StoredFileFactory())
    clean = page_factories.cleaning(raw).cleaned_to
    page_factories.cleaning(raw)
    split = ended_split(clean, alice).split_to
    model = factories.ModelVersionFactory(training_data=split)

    graph = lineage.graph_of(clean)

    assert [(node["kind"], node["ref"]) for node in graph["nodes"]] == [
        ("upload", "loans.csv"),
        ("dataset", raw.ref),
        ("dataset", clean.ref),
        ("dataset", split.ref),
        ("model", model.ref),
    ]
    assert [(edge["verb"], edge["to"]) for edge in graph["edges"]] == [
        ("imported", f"dataset:{raw.ref}"),
        ("cleaned", f"dataset:{clean.ref}"),
        ("split", f"dataset:{split.ref}"),
        ("trained", f"model:{model.ref}"),
    ]


# Both lie under mlcroissant 1.1: rdflib 7 and pandas 3.1.
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index is deprecated")
def test_croissant_is_valid_and_reads_our_own_table(alice: User, tmp_path: Path) -> None:
    import mlcroissant

    table = pa.table({"age": [30.5, 41.0], "income": [1.0, 2.0], "repaid": ["yes", "no"]})
    path = tmp_path / "table.parquet"
    pq.write_table(table, path)
    file = page_factories.stored(path.read_bytes())
    version = factories.DatasetVersionFactory(dataset__owner=alice, table=file, row_count=2)
    answers = {"license": "https://spdx.org/licenses/CC-BY-4.0.html", "citation": "Assay (2026).", "purpose": "Tests."}
    datasheets.write_datasheet(dataset=version.dataset, answers=answers, by=alice)

    document = croissant.croissant_of(version)

    assert document["identifier"] == version.content_digest
    assert document["distribution"][0]["sha256"] == file.digest.removeprefix("sha256:")
    document["distribution"][0]["contentUrl"] = str(path)  # the address of an installation is not served in a test
    (tmp_path / "croissant.json").write_text(json.dumps(document))
    read = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")
    issues = read.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    records = list(read.records(record_set="rows"))
    assert [record["rows/0"] for record in records] == [30.5, 41.0]
    assert [record["rows/2"] for record in records] == [b"yes", b"no"]


def test_what_nobody_answered_is_left_out_of_croissant() -> None:
    document = croissant.croissant_of(factories.DatasetVersionFactory())

    assert "license" not in document
    assert "citeAs" not in document


def test_a_version_that_is_not_ready_is_not_described() -> None:
    with pytest.raises(StateConflict, match="only a ready version is described"):
        croissant.croissant_of(factories.DatasetVersionFactory(state=DatasetState.IMPORTING, table=None, schema=None))


def test_the_api_starts_and_tells(alice: User, alice_api: APIClient) -> None:
    dataset = factories.DatasetVersionFactory(dataset__owner=alice)
    name, number = dataset.dataset.name, dataset.number

    started = alice_api.post("/api/v1/splits/", {"dataset": dataset.ref, "plan": PLAN}, format="json")
    assert (started.status_code, started.json()["job"]["state"]) == (202, "queued")
    refused = alice_api.post("/api/v1/splits/", {"dataset": dataset.ref, "plan": {"fractions": {}}}, format="json")
    assert refused.status_code == 422
    compared = ended_comparison(alice)
    assert alice_api.get(f"/api/v1/comparisons/{compared.pk}/").json()["result"]["rows"] == ROWS
    assert alice_api.get(f"/api/v1/comparisons/{compared.pk}/differences/").getvalue() == b"PAR1"

    base = f"/api/v1/datasets/{name}/"
    assert alice_api.get(f"{base}datasheet/").status_code == 404
    written = alice_api.put(f"{base}datasheet/", {"answers": {"purpose": "To <learn>."}}, format="json")
    assert written.json()["number"] == 1
    markdown = alice_api.get(f"{base}datasheet.md/")
    assert "**For what purpose was the data set created?**\n\nTo <learn>.\n" in markdown.content.decode()
    assert "*Not answered.*" in markdown.content.decode()
    assert alice_api.get(f"{base}versions/{number}/croissant/").json()["conformsTo"] == croissant.CONFORMS_TO
    assert alice_api.get(f"{base}versions/{number}/lineage/").json()["nodes"][-1]["ref"] == dataset.ref
    assert alice_api.get(f"{base}versions/77/croissant/").status_code == 404


def test_the_pages_show_parts_differences_and_answers(alice: User, client: Client) -> None:
    client.force_login(alice)
    dataset = factories.DatasetVersionFactory(dataset__owner=alice, profile=page_factories.PROFILE)
    made = ended_split(dataset, alice).split_to
    ended_comparison(alice, before=dataset, after=made)
    datasheets.write_datasheet(dataset=dataset.dataset, answers={"purpose": "To <b>learn</b>."}, by=alice)

    page = client.get(reverse("dataset-version", args=[made.dataset.name, made.number])).content.decode()
    shown = page[page.index('id="parts"') :]
    assert "80" in shown
    assert "25" in shown[shown.index("train") :]
    lineage_shown = page[page.index('id="lineage"') : page.index('id="parts"')]
    assert "80 train, 20 test" in lineage_shown
    comparison = client.get(reverse("comparison", args=[Comparison.objects.get().pk])).content.decode()
    assert "The rows differ" in comparison
    assert "Rows are matched by id." in comparison
    assert "from row 65,536" in comparison
    sheet = client.get(reverse("datasheet", args=[dataset.dataset.name])).content.decode()
    assert "To &lt;b&gt;learn&lt;/b&gt;." in sheet
    assert f"1 of {len(KEYS)} answered" in sheet


def test_the_forms_of_the_pages_start_the_same_work(alice: User, client: Client) -> None:
    client.force_login(alice)
    dataset = factories.DatasetVersionFactory(dataset__owner=alice)
    earlier = factories.DatasetVersionFactory(dataset=dataset.dataset, number=dataset.number + 1)
    here = [dataset.dataset.name, dataset.number]

    client.post(reverse("version-split", args=here), {"train": "80", "test": "20", "by": "age", "salt": ""})
    client.post(reverse("version-compare", args=here), {"before": earlier.ref})
    client.post(reverse("datasheet-write", args=here[:1]), {"purpose": "To learn."})

    assert Split.objects.get().plan["by"] == "age"
    assert Comparison.objects.get().before == earlier
    assert datasheets.newest_datasheet(dataset.dataset).answers == {"purpose": "To learn."}
    said = client.post(reverse("version-split", args=here), {"train": "many", "next": "/data/"}, follow=True)
    assert "is no number of percent" in said.content.decode()
    assert Split.objects.count() == 1


def test_a_comparison_is_given_the_digest_trees_that_are_kept(alice: User) -> None:
    kept = factories.DatasetVersionFactory(tree=factories.StoredFileFactory())
    without = factories.DatasetVersionFactory(dataset=kept.dataset, number=2, tree=None)

    inputs = comparisons.request_comparison(before=kept, after=without, by=alice).job.spec["inputs"]

    assert set(inputs) == {"before", "after", "before_tree"}
    assert inputs["before_tree"]["digest"] == kept.tree_id
