"""The cast of all tests, and a store for each test.

Alice owns models, Bob approves, Dave audits, Erin administers, Carol has no rights.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db.models.signals import post_migrate
from rest_framework.test import APIClient

from governance.models import InstallationKey, Policy
from governance.services import signing_keys
from tests import factories, parts


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the machine lacks; ``python -m tests`` names it at the end, and a GPU is never silently passed."""
    missing = {part.marker for part in parts.PARTS if not part.is_there()}
    left_out = [item for item in items if missing & {marker.name for marker in item.iter_markers()}]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def groups_and_policies_come_back() -> None:
    """Make again what a migration made, whenever a test with transactions of its own has emptied the tables."""
    migration = import_module("governance.migrations.0002_groups_and_policies")

    def restore(**_: object) -> None:
        if not Policy.objects.exists():
            migration.create(apps, None)

    post_migrate.connect(restore, sender=apps.get_app_config("governance"), weak=False, dispatch_uid="tests")


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path: Path) -> None:
    """Give each test a store and job folders of its own, and a place for a signing key."""
    settings.ASSAY_STORE_FOLDER = tmp_path / "store"
    settings.ASSAY_JOBS_FOLDER = tmp_path / "jobs"
    settings.ASSAY_SIGNING_KEY_FILE = tmp_path / "signing_key.pem"


@pytest.fixture
def signing_key(db) -> InstallationKey:
    """Give the installation a key, so that what becomes final is signed."""
    return signing_keys.create_key()


@pytest.fixture
def alice(db) -> User:
    return factories.person("alice", "engineers")


@pytest.fixture
def bob(db) -> User:
    return factories.person("bob", "approvers")


@pytest.fixture
def carol(db) -> User:
    return factories.person("carol")


@pytest.fixture
def dave(db) -> User:
    return factories.person("dave", "auditors")


@pytest.fixture
def erin(db) -> User:
    return factories.person("erin", "administrators", is_staff=True)


@pytest.fixture
def anonymous_api() -> APIClient:
    return APIClient()


@pytest.fixture
def alice_api(alice: User) -> APIClient:
    return factories.api_client(alice)


@pytest.fixture
def bob_api(bob: User) -> APIClient:
    return factories.api_client(bob)


@pytest.fixture
def carol_api(carol: User) -> APIClient:
    return factories.api_client(carol)


@pytest.fixture
def dave_api(dave: User) -> APIClient:
    return factories.api_client(dave)


@pytest.fixture
def erin_api(erin: User) -> APIClient:
    return factories.api_client(erin)


@pytest.fixture
def open_gates(settings) -> None:
    """Let everything through that a gate guards: for tests of what lies behind it."""
    settings.GOVERNANCE_GATES = {"training": [], "evaluation": [], "audit": [], "approval": []}
