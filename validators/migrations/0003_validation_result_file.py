"""Keep the result of a validation as Great Expectations writes one."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("validators", "0002_splits_comparisons_datasheets")]

    operations = [
        migrations.AddField(
            model_name="validation",
            name="result_file",
            field=models.ForeignKey(
                blank=True,
                help_text="the result as Great Expectations writes one",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="governance.storedfile",
            ),
        ),
    ]
