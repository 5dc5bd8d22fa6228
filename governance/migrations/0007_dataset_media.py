"""What a page shows of the images and texts of a data set version."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("governance", "0006_tree")]

    operations = [
        migrations.AddField(
            model_name="datasetversion",
            name="media",
            field=models.JSONField(
                blank=True, default=dict, help_text="image or text column -> rows of it that a page shows"
            ),
        ),
    ]
