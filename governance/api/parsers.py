"""How bodies are read: bounded, strict JSON, and uploads that go straight to the store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from governance.bodies import end_when_it_stalls
from governance.digests import of_body
from governance.services import quota
from governance.uploads import receive


class StrictJSONParser(BaseParser):
    """JSON of a bounded size, without what readers disagree on: NaN, a key twice, half a surrogate pair, a NUL."""

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        content = stream.read(limit + 1)
        if len(content) > limit:
            raise RequestDataTooBig
        try:
            return strict_json(content.decode("utf-8"))
        except ValueError as error:
            raise ParseError(f"The body is not JSON that can be kept: {error}.") from error


class MultipartUploadParser(BaseParser):
    """A form whose file goes straight to disk; ``request.data`` is then a ``ReceivedForm``, to be closed.

    What the sender has no room for is refused before it is read.
    """

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        request = (parser_context or {})["request"]
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        quota.demand_room(by=request.user, size_bytes=length)
        end_when_it_stalls(request.META)
        return receive(
            stream,
            content_type=media_type or "",
            content_length=length,
            digests=of_body(request.headers),
        )


def strict_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: with what is wrong with it.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repeated_keys)
        _demand_storable(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return document


def _demand_storable(value: Any) -> None:
    """Refuse text that a database or UTF-8 cannot hold, and numbers that JSON readers round differently."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _demand_storable(key)
            _demand_storable(entry)
    elif isinstance(value, list):
        for entry in value:
            _demand_storable(entry)
    elif isinstance(value, str):
        value.encode("utf-8")
        if "\0" in value:
            raise ValueError("a text holds the character NUL")
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
