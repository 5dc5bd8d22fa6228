"""A small client of Assay's REST API: what a script in somebody's CI would look like."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

POLL_SECONDS = 0.5


class RefusedError(Exception):
    """The API said no; the problem document says why."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')} {problem.get('detail', '')}")
        self.status = status
        self.problem = problem

    @property
    def reasons(self) -> list[str]:
        return [str(reason) for reason in self.problem.get("reasons", [])]


class JobEndedError(Exception):
    """A job did not succeed."""


class Client:
    """One person's way in: an address and a token."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {token}"

    def get(self, path: str) -> Any:
        return self._answer(self.session.get(self.address + path, timeout=60))

    def get_or_none(self, path: str) -> Any | None:
        try:
            return self.get(path)
        except RefusedError as refusal:
            if refusal.status == 404:
                return None
            raise

    def download(self, path: str) -> bytes:
        response = self.session.get(self.address + path, timeout=60)
        response.raise_for_status()
        return response.content

    def post(self, path: str, body: dict[str, Any], *, key: str = "") -> Any:
        """Post JSON; with a key, the same post again (after a crash, on a second run) gives the first answer."""
        headers = {"Idempotency-Key": key} if key else {}
        return self._answer(self.session.post(self.address + path, json=body, headers=headers, timeout=120))

    def upload(self, path: str, file: Path, fields: dict[str, str], *, key: str) -> Any:
        with file.open("rb") as stream:
            response = self.session.post(
                self.address + path,
                data=fields,
                files={"file": (file.name, stream)},
                headers={"Idempotency-Key": key},
                timeout=300,
            )
        return self._answer(response)

    def finish(self, resource: dict[str, Any], path: str, *, watch: Callable[[dict[str, Any]], None]) -> Any:
        """Wait until the job of a resource has ended and return the resource as it then stands."""
        number = resource["job"]["id"] if isinstance(resource["job"], dict) else resource["job"]
        while True:
            job = self.get(f"jobs/{number}/")
            watch(job)
            if job["state"] not in ("queued", "running"):
                break
            time.sleep(POLL_SECONDS)
        if job["state"] != "succeeded":
            error = job.get("error") or {}
            raise JobEndedError(f"Job {number} ({job['kind']}) is {job['state']}: {error.get('detail', '')}")
        return self.get(path)

    def _answer(self, response: requests.Response) -> Any:
        if response.ok:
            return response.json()
        try:
            problem = response.json()
        except requests.JSONDecodeError:
            problem = {"title": response.reason, "detail": response.text[:500]}
        raise RefusedError(response.status_code, problem)
