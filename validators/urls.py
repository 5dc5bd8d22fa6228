"""Addresses of the pages about data."""

from django.urls import path

from validators import views

urlpatterns = [
    path("data/", views.dataset_list, name="dataset-list"),
    path("data/<str:name>/<int:number>/", views.dataset_version, name="dataset-version"),
]
