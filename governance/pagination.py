"""Pages of lists: newest first, by cursor, so that a page does not shift while others write."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """``results``, ``next`` and ``previous``; ``page_size`` up to 200."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
