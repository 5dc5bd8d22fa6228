"""Every address: the API that each app registers, its pages, the admin.

The apps are named by string, so that nothing here imports upward.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import module_has_submodule
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from governance.views.description import DescriptionView
from governance.views.metrics import metrics

handler400 = "governance.problems.bad_request"
handler403 = "governance.problems.permission_denied"
handler404 = "governance.problems.page_not_found"
handler500 = "governance.problems.server_error"

#: Each has ``api`` with ``register(router)``.
APPS = ("governance", "validators", "audits")
PAGES = ("governance.page_urls", "validators.urls", "audits.urls")


def api_router() -> SimpleRouter:
    """Return one router with the collections of every app."""
    router = SimpleRouter(use_regex_path=False)
    for name in APPS:
        if module_has_submodule(import_module(name), "api"):
            import_module(f"{name}.api").register(router)
    return router


def pages() -> list[URLPattern | URLResolver]:
    """Return the pages of every app."""
    return [path("", include(module)) for module in PAGES if find_spec(module) is not None]


urlpatterns = [
    path("api/v1/", include((api_router().urls, "api"))),
    path("api/v1/schema/", DescriptionView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    *pages(),
]
