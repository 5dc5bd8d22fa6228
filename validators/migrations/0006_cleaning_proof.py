import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0007_dataset_media"),
        ("validators", "0005_suggestions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="cleaning",
            name="agrees",
            field=models.BooleanField(help_text="whether a replay came to the same digest", null=True),
        ),
        migrations.AddField(
            model_name="cleaning",
            name="flags",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="governance.storedfile",
            ),
        ),
        migrations.AddField(
            model_name="cleaning",
            name="replay_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replays",
                to="validators.cleaning",
            ),
        ),
        migrations.AddField(
            model_name="cleaning",
            name="report_file",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="governance.storedfile",
            ),
        ),
        migrations.AlterField(
            model_name="cleaning",
            name="report",
            field=models.JSONField(
                blank=True, default=dict, help_text="rows_in, rows_out, rows_quarantined, cells_changed, steps, rules"
            ),
        ),
        migrations.CreateModel(
            name="Restoration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rows", models.JSONField(help_text="numbers of the rows, as they came into the cleaning")),
                ("reason", models.TextField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="governance.datasetversion"
                    ),
                ),
                (
                    "cleaning",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="restorations",
                        to="validators.cleaning",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="restoration", to="governance.job"
                    ),
                ),
                (
                    "restored_to",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="restored_by",
                        to="governance.datasetversion",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
    ]
