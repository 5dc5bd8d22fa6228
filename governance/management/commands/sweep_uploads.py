"""``manage.py sweep_uploads``: remove uploads that have expired; a worker does the same every ten minutes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from governance.services import uploads


class Command(BaseCommand):
    help = "Remove uploads that were not used in time, and what processes that died left of others."

    def handle(self, *args: Any, **options: Any) -> None:
        removed = uploads.sweep()
        self.stdout.write(f"Removed {removed} upload{'s' * (removed != 1)}.")
