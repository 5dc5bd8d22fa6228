"""Addresses of the pages about data."""

from django.urls import path

from validators.views import columns, datasets, exchange

urlpatterns = [
    path("data/", datasets.dataset_list, name="dataset-list"),
    path("data/<str:name>/<int:number>/", datasets.dataset_version, name="dataset-version"),
    path("data/<str:name>/<int:number>/columns/<int:place>/", columns.column, name="column"),
    path("data/<str:name>/<int:number>/columns/<int:place>/chart.vl.json", columns.column_chart, name="column-chart"),
    path("data/<str:name>/<int:number>/split/", exchange.version_split, name="version-split"),
    path("data/<str:name>/<int:number>/compare/", exchange.version_compare, name="version-compare"),
    path("data/<str:name>/datasheet/", exchange.datasheet, name="datasheet"),
    path("data/<str:name>/datasheet/write/", exchange.datasheet_write, name="datasheet-write"),
    path("comparisons/<int:pk>/", exchange.comparison, name="comparison"),
]
