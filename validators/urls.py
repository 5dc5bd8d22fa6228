"""Addresses of the pages about data."""

from django.urls import path

from validators.views import cleaning, columns, datasets, exchange, proposals

urlpatterns = [
    path("data/", datasets.dataset_list, name="dataset-list"),
    path("data/<str:name>/<int:number>/", datasets.dataset_version, name="dataset-version"),
    path("data/<str:name>/<int:number>/columns/<int:place>/", columns.column, name="column"),
    path("data/<str:name>/<int:number>/columns/<int:place>/chart.vl.json", columns.column_chart, name="column-chart"),
    path("data/<str:name>/<int:number>/split/", exchange.version_split, name="version-split"),
    path("data/<str:name>/<int:number>/compare/", exchange.version_compare, name="version-compare"),
    path("data/<str:name>/datasheet/", exchange.datasheet, name="datasheet"),
    path("data/<str:name>/datasheet/write/", exchange.datasheet_write, name="datasheet-write"),
    path("data/<str:name>/<int:number>/suggest/", proposals.version_suggest, name="version-suggest"),
    path("proposals/<int:pk>/", proposals.proposal, name="proposal"),
    path("proposals/<int:pk>/decide/", proposals.proposal_decide, name="proposal-decide"),
    path("proposals/<int:pk>/accept/", proposals.proposal_accept, name="proposal-accept"),
    path("data/cleanings/<int:pk>/restore/", cleaning.cleaning_restore, name="cleaning-restore"),
    path("data/cleanings/<int:pk>/replay/", cleaning.cleaning_replay, name="cleaning-replay"),
    path("comparisons/<int:pk>/", exchange.comparison, name="comparison"),
]
