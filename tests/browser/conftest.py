"""A real browser for the pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that it can be left out where there is no Chromium."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Visit:
    """What a browser did while it showed pages: what it complained of, and what it asked for."""

    page: object
    server: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def elsewhere(self) -> list[str]:
        """Addresses that were asked for and are not this server's or this file's."""
        own = urlsplit(self.server).netloc
        return [
            address
            for address in self.requests
            if urlsplit(address).scheme not in ("data", "file", "blob") and urlsplit(address).netloc != own
        ]


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """Start Chromium once a session."""
    from playwright.sync_api import sync_playwright

    # Playwright's loop makes Django believe that it is called from asynchronous code; nothing here is.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(request: pytest.FixtureRequest, chromium) -> Iterator[Visit]:
    """Open pages of the live server; ``parametrize("visit", [{...}], indirect=True)`` sets the context."""
    server = request.getfixturevalue("live_server")
    context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **getattr(request, "param", {})})
    page = context.new_page()
    seen = Visit(page=page, server=server.url)
    page.on(
        "console", lambda message: seen.problems.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on("request", lambda asked: seen.requests.append(asked.url))
    yield seen
    context.close()


@pytest.fixture
def signed_in(visit: Visit, bob: User) -> Visit:
    """Bob, who approves, has signed in."""
    client = Client()
    client.force_login(bob)
    name = settings.SESSION_COOKIE_NAME
    visit.page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": visit.server}])
    return visit
