"""The WSGI entry point: ``gunicorn governance.wsgi``."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")

application = get_wsgi_application()
# Read every route before threads ask for one: two threads whose imports meet in a circle see modules half done.
_ = get_resolver().url_patterns

from governance.presentation.drawing import wake_renderer  # noqa: E402 - it reads settings, which are known from here on

wake_renderer()
