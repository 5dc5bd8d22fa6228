from django.apps import AppConfig


class ValidatorsConfig(AppConfig):
    name = "validators"
    verbose_name = "Data evidence"
    default_auto_field = "django.db.models.BigAutoField"
