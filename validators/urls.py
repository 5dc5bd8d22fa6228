"""Addresses of the pages about data."""

from django.urls import path

from validators.views import datasets

urlpatterns = [
    path("data/", datasets.dataset_list, name="dataset-list"),
    path("data/<str:name>/<int:number>/", datasets.dataset_version, name="dataset-version"),
]
