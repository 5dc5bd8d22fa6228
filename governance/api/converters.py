"""Path converters for references in addresses."""

from __future__ import annotations

from django.urls import register_converter


class ReferenceConverter:
    """``name/number`` as one part of an address: ``suites/applicants-suite/3/``."""

    regex = r"[a-z0-9._-]{1,100}/[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ReferenceConverter, "reference")
