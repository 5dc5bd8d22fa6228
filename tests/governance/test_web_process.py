"""The web process is light: it imports no framework, and what few requests need only with the first of them."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import sys
import django
django.setup()
from django.urls import get_resolver
get_resolver().url_patterns
heavy = "tensorflow keras torch shap great_expectations ray pandas sklearn scipy jsonschema cyclonedx".split()
print(*sorted(name for name in heavy if name in sys.modules))
"""


def test_nothing_heavy_is_in_the_web_process_before_it_is_asked_for(tmp_path):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "governance.settings", "ASSAY_HOME": str(tmp_path)}

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=120
    )

    assert ended.stdout.split() == []
