"""``/api/v1/schema/``: the API's description of itself, drawn once a process."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response


class DescriptionView(SpectacularAPIView):
    """The description, drawn by one thread at a time and kept.

    drf-spectacular finds its extensions in class attributes that are half written while a first description is drawn;
    a second thread would read them and break. The description is the same for everybody and does not change while a
    process runs, so it is drawn when first asked for and then kept.
    """

    _lock: ClassVar = threading.Lock()
    _drawn: ClassVar[dict[str, Any] | None] = None

    def _get_schema_response(self, request: Request) -> Response:
        with DescriptionView._lock:
            if DescriptionView._drawn is None:
                generator = self.generator_class()
                DescriptionView._drawn = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        name = self._get_filename(request, None)  # type: ignore[no-untyped-call]
        return Response(DescriptionView._drawn, headers={"Content-Disposition": f'inline; filename="{name}"'})
