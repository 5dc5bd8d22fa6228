import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0001_initial"),
        ("validators", "0003_validation_result_file"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Screening",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("dataset_digest", models.CharField(help_text="the content that this holds for", max_length=71)),
                ("against_digest", models.CharField(blank=True, max_length=71)),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("quality", "quality: faults within one version"),
                            ("evaluation", "evaluation: rows that training and evaluation data share"),
                            ("drift", "drift: what has changed against another version"),
                        ],
                        default="quality",
                        max_length=20,
                    ),
                ),
                (
                    "detectors",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="detector -> parameters; all of the purpose where none is named",
                    ),
                ),
                ("detections", models.JSONField(blank=True, default=list, help_text="one object a detector")),
                (
                    "row_count",
                    models.PositiveBigIntegerField(default=0, help_text="how many rows at least one detector names"),
                ),
                ("digest", models.CharField(blank=True, help_text="digest of the result", max_length=71)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "against",
                    models.ForeignKey(
                        blank=True,
                        help_text="evaluation data, or an older version; needed for these two purposes",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="screened_against",
                        to="governance.datasetversion",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="screenings",
                        to="governance.datasetversion",
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="screening", to="governance.job"
                    ),
                ),
                (
                    "rows",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="governance.storedfile",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
    ]
