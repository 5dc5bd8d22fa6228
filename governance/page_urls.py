"""Addresses of the pages that need the record alone."""

from django.urls import path, re_path

from governance.views import events, files, health, jobs, models, session

urlpatterns = [
    path("login/", session.login, name="login"),
    path("logout/", session.logout, name="logout"),
    path("models/", models.model_list, name="model-list"),
    path("jobs/", jobs.job_list, name="job-list"),
    path("jobs/<int:pk>/", jobs.job, name="job"),
    path("jobs/<int:pk>/region/", jobs.job_region, name="job-region"),
    path("jobs/<int:pk>/cancel/", jobs.job_cancel, name="job-cancel"),
    path("events/", events.event_list, name="event-list"),
    path("health/", health.health_page, name="health"),
    re_path(r"^files/(?P<digest>sha256:[0-9a-f]{64})/(?P<name>[^/]+)$", files.file, name="file"),
]
