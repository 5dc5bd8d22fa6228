"""Every operation of the API, asked with generated requests, answers as its description says and never breaks.

Schemathesis draws the requests from ``/api/v1/schema/``: those that the description allows and those that it does
not. Each is sent as it was drawn, by an engineer, and again pointed at things that exist, by the engineer and by
somebody who is in every group: so it is not always turned away at the first reference. What a request did is taken
back after it, so that requests do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from audits.models import Report
from governance.permissions import GROUPS
from governance.services import events, provenance, uploads
from governance.services.tokens import create_token
from governance.wsgi import application
from tests import factories, page_factories
from validators.services.datasheets import write_datasheet

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.slow

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
#: Requests drawn for each operation.
EXAMPLES = 15
CLEANING_STEP = {"action": "dedupe", "columns": ["age"]}
EXPECTATION = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "age"}}
PROBLEM_FIELDS = {"type", "title", "status", "detail", "errors"}


@dataclass(frozen=True)
class World:
    """One of each thing, who asks, and what stands for a thing in an address and in a body.

    ``bodies`` has one that is right for each operation whose drawn bodies never are.
    """

    engineer: str
    anybody: str
    in_addresses: Mapping[str, Mapping[str, Any]]
    in_headers: Mapping[str, Mapping[str, str]]
    in_bodies: Mapping[str, Any]
    in_queries: Mapping[str, Mapping[str, Any]]
    bodies: Mapping[str, dict[str, Any]]
    succeeded: set[str] = field(default_factory=set)

    def point(self, case: schemathesis.Case) -> None:
        """Make a request be about things that exist, where it names any."""
        parts = case.operation.path.strip("/").split("/")
        collection, verb = parts[2], parts[-1]
        known = {**self.in_addresses.get(collection, {}), **self.in_addresses.get(verb, {})}
        if "{" in case.operation.path:
            case.path_parameters = {**(case.path_parameters or {}), **known}
        asked = self.in_queries.get("/".join(parts[3:]))
        if asked is not None:
            case.query = dict(asked)
        if collection in self.in_headers:
            case.headers = dict(self.in_headers[collection])
        if isinstance(case.body, dict):
            names_a_dataset = case.operation.path.endswith("/require/")
            references = {**self.in_bodies, "dataset": "applicants"} if names_a_dataset else self.in_bodies
            case.body = {name: references.get(name, value) for name, value in case.body.items()}


@pytest.fixture
def world(alice, open_gates, signing_key) -> World:
    dataset = factories.DatasetVersionFactory(dataset__name="applicants")
    version = factories.ModelVersionFactory(model__name="scorer", training_data=dataset)
    for _ in ("release", "reject"):
        needs_code = {"id": "ART-03.package", "severity": "medium"}
        held = {"verdict": "quarantined", "findings": [needs_code]}
        factories.ModelVersionFactory(model=version.model, state="quarantined", rewritten=None, inspection=held)
    evaluation = factories.EvaluationFactory(version=version, dataset=dataset)
    audit = page_factories.audit(version=version, dataset=dataset)
    explanation = page_factories.explanation(version=version, dataset=dataset)
    later = page_factories.explanation(dataset=dataset)
    validation = page_factories.validation(dataset, success=False)
    review = factories.ReviewFactory(version=version)
    factories.EvidenceFactory(review=review, kind="evaluation", object_id=evaluation.pk)
    training = factories.TrainingFactory(version=version, dataset=dataset)
    cleaning = page_factories.cleaning(dataset)
    statement = provenance.sign_dataset(dataset, by=alice)
    event = events.record(name="model.registered", subject=version.model, by=alice)
    html = page_factories.stored("<!doctype html>")
    Report.objects.create(audit=audit, format="html", file=html)
    split = page_factories.split(dataset)
    comparison = page_factories.comparison()
    proposal = page_factories.proposal(dataset)
    write_datasheet(dataset=dataset.dataset, answers={"purpose": "To learn."}, by=dataset.dataset.owner)
    running = factories.JobFactory()
    complete = uploads.create_upload(length_bytes=1, by=alice)
    uploads.append(upload_id=complete.pk, offset=0, chunks=[b"x"], length=1, by=alice)
    return World(
        engineer=create_token(user=alice, by=None),
        anybody=create_token(user=factories.person("olga", *GROUPS), by=None),
        in_addresses={
            "audits": {"id": audit.pk},
            "cleanings": {"id": cleaning.pk, "name": "changes"},
            "comparisons": {"id": comparison.pk},
            "datasets": {"name": "applicants", "number": 1},
            "evaluations": {"id": evaluation.pk},
            "events": {"sequence": event.sequence},
            "explanations": {"id": explanation.pk, "name": "attributions.npz"},
            "findings": {"id": audit.findings.first().pk},
            "jobs": {"id": running.pk},
            "models": {"name": "scorer", "number": 1},
            "release": {"number": 2},
            "reject": {"number": 3},
            "policies": {"name": "standard", "number": 1},
            "proposals": {"id": proposal.pk},
            "restorations": {"id": page_factories.restoration(cleaning, rows=[9]).pk},
            "reviews": {"id": review.pk},
            "screenings": {"id": page_factories.screening(dataset).pk},
            "splits": {"id": split.pk},
            "statements": {"id": statement.pk},
            "suites": {"ref": validation.suite.ref},
            "trainings": {"id": training.pk},
            "uploads": {"id": uploads.create_upload(length_bytes=1_000_000, by=alice).pk},
            "validations": {"id": validation.pk},
        },
        in_headers={"uploads": {"Tus-Resumable": "1.0.0", "Upload-Length": "1000000", "Upload-Offset": "0"}},
        in_bodies={
            "model": version.ref,
            "compare_with": version.ref,
            "before": dataset.ref,
            "after": comparison.after.ref,
            "dataset": dataset.ref,
            "training_data": dataset.ref,
            "background": dataset.ref,
            "suite": validation.suite.ref,
            "policy": "standard/1",
            "owner": "alice",
            "upload": complete.pk,
            "evidence": [f"evaluation:{evaluation.pk}"],
        },
        in_queries={
            "compare": {"first": explanation.pk, "second": later.pk},
            "compare/export": {"first": explanation.pk, "second": later.pk, "format": "csv"},
        },
        bodies={
            "POST /api/v1/models/{name}/versions/": {"upload": complete.pk, "filename": "model.pt2"},
            "POST /api/v1/datasets/{name}/versions/": {"upload": complete.pk, "filename": "rows.csv"},
            "POST /api/v1/models/{name}/versions/{number}/release/": {"reason": "Read."},
            "POST /api/v1/models/{name}/versions/{number}/reject/": {"reason": "It opens files."},
            "POST /api/v1/cleanings/": {"dataset": dataset.ref, "plan": [CLEANING_STEP]},
            "POST /api/v1/screenings/": {"dataset": dataset.ref, "detectors": ["iqr"]},
            "POST /api/v1/cleanings/{id}/restore/": {"rows": [4], "reason": "It was right."},
            "POST /api/v1/proposals/{id}/accept/": {"name": "suggested", "others": "accept"},
            "POST /api/v1/suites/suggest/": {"dataset": dataset.ref},
            "POST /api/v1/splits/": {"dataset": dataset.ref, "plan": page_factories.SPLIT_PLAN},
            "PUT /api/v1/datasets/{name}/datasheet/": {"answers": {"purpose": "To teach."}},
            "POST /api/v1/explanations/": {"model": version.ref, "dataset": dataset.ref},
            "POST /api/v1/explanations/{id}/more/": {"rows": 5},
            "POST /api/v1/explanations/{id}/comments/": {"text": "Read.", "anchor": {"row": 7}},
            "POST /api/v1/policies/": {"name": "strict", "tier": "high", "checks": {"ART-01": {}}},
            "POST /api/v1/suites/": {"name": "ages", "expectations": [EXPECTATION]},
            "POST /api/v1/validations/{id}/waive/": {
                "reason": "Three rows of forty.",
                "expires_at": (timezone.now() + timedelta(days=7)).isoformat(),
            },
            "POST /api/v1/trainings/": {"model": version.ref, "dataset": dataset.ref, "recipe": factories.RECIPE},
        },
    )


@pytest.fixture
def one_connection(db) -> Iterator[None]:
    """Keep the connection whose transaction is the test's, as Django's own test client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def read_whole(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Be the application of a server that reads an answer to its end and closes it."""
    answer = application(environ, start_response)
    try:
        return [b"".join(answer)]
    finally:
        answer.close()


def test_no_operation_breaks_and_each_answers_as_described(
    world: World, one_connection: None, subtests: pytest.Subtests
) -> None:
    generation = GenerationConfig(with_security_parameters=False)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    api = schemathesis.openapi.from_wsgi("/api/v1/schema/?format=json", read_whole, config=config)
    operations = [result.ok() for result in api.get_all_operations()]
    assert len(operations) > 50

    for operation in operations:
        with subtests.test(operation=operation.label):
            fuzz(world, st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))
            if operation.label in world.bodies:
                case = operation.Case(body=world.bodies[operation.label], media_type="application/json")
                world.point(case)
                ask(world, case, "engineer")
                ask(world, case, "anybody")

    # Requests that are all refused would look at nothing but refusals.
    assert {operation.label for operation in operations} - world.succeeded == set()


def fuzz(world: World, cases: st.SearchStrategy[schemathesis.Case]) -> None:
    """Draw requests, the same in every run, and send each."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: schemathesis.Case) -> None:
        ask(world, case, "engineer")
        world.point(case)
        ask(world, case, "engineer")
        ask(world, case, "anybody")

    send()


def ask(world: World, case: schemathesis.Case, person: Literal["engineer", "anybody"]) -> None:
    """Send a request, look at the answer, and take back what it did."""
    with transaction.atomic():
        response = case.call(headers={"Authorization": f"Token {getattr(world, person)}"})
        transaction.set_rollback(True)
    case.validate_response(response, checks=CHECKS)
    if response.status_code < 400:
        world.succeeded.add(case.operation.label)
        return
    assert response.headers["content-type"] == ["application/problem+json"]
    problem = response.json()
    assert problem.keys() - {"reasons"} == PROBLEM_FIELDS
    assert problem["status"] == response.status_code
    assert problem["detail"]
