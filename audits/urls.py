"""Addresses of the pages about models and their evidence."""

from django.urls import path

from audits.views import (
    audits,
    explanation_comparison,
    explanation_requests,
    explanation_talk,
    explanations,
    findings,
    home,
    models,
    quarantine,
    reviews,
    versions,
)

urlpatterns = [
    path("", home.home, name="home"),
    path("models/<str:name>/", models.model, name="model"),
    path("models/<str:name>/<int:number>/", versions.version, name="version"),
    path("models/<str:name>/<int:number>/decide/", quarantine.version_decide, name="version-decide"),
    path("explanations/", explanations.explanation_list, name="explanation-list"),
    path("explanations/new/", explanation_requests.explanation_request, name="explanation-request"),
    path("explanations/ask/", explanation_requests.explanation_ask, name="explanation-ask"),
    path("explanations/compare/", explanation_comparison.explanation_comparison, name="explanation-comparison"),
    path(
        "explanations/compare/export.<str:format>",
        explanation_comparison.explanation_comparison_export,
        name="explanation-comparison-export",
    ),
    path("explanations/<int:pk>/", explanations.explanation, name="explanation"),
    path("explanations/<int:pk>/comment/", explanation_talk.explanation_comment, name="explanation-comment"),
    path("explanations/<int:pk>/more/", explanation_talk.explanation_more, name="explanation-more"),
    path("explanations/<int:pk>/export.<str:format>", explanations.explanation_export, name="explanation-export"),
    path(
        "explanations/<int:pk>/rows/<int:row>/<str:kind>.png",
        explanations.explanation_picture,
        name="explanation-picture",
    ),
    path("audits/", audits.audit_list, name="audit-list"),
    path("audits/<int:pk>/", audits.audit, name="audit"),
    path("audits/<int:pk>/report.<str:format>", audits.audit_report, name="audit-report"),
    path("audits/report.schema.json", audits.report_schema, name="report-schema"),
    path("findings/<int:pk>/", findings.finding, name="finding"),
    path("reviews/", reviews.review_list, name="review-list"),
    path("reviews/<int:pk>/", reviews.review, name="review"),
    path("reviews/<int:pk>/decide/", reviews.review_decide, name="review-decide"),
]
