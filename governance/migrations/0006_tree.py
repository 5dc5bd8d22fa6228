from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("governance", "0005_split_from")]

    operations = [
        migrations.AddField(
            model_name="datasetversion",
            name="tree",
            field=models.ForeignKey(
                blank=True,
                help_text="the digest of each 65,536 rows of each column, which tells where two versions differ",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="governance.storedfile",
            ),
        ),
    ]
