"""The groups that permissions speak of, and a first policy a tier."""

from django.db import migrations

from workers.protocol import digest_of_json

GROUPS = ("engineers", "auditors", "approvers", "administrators")

ARTIFACT_AND_DATA = ("ART-01", "DAT-03", "DAT-04", "PER-01")
EVERY_CHECK = (*ARTIFACT_AND_DATA, "CAL-01", "ROB-01", "PRI-01", "FAIR-01", "EXP-01")

#: Name, tier, checks (an empty entry asks for the check's own parameters and condition), blocking severities, approvers.
POLICIES = (
    ("low", "low", ARTIFACT_AND_DATA, ("critical", "high"), 1),
    ("standard", "medium", EVERY_CHECK, ("critical", "high"), 1),
    ("high", "high", EVERY_CHECK, ("critical", "high", "medium"), 2),
)


def create(apps, schema_editor):  # noqa: ARG001 - the signature of a migration
    group = apps.get_model("auth", "Group")
    for name in GROUPS:
        group.objects.get_or_create(name=name)
    policy = apps.get_model("governance", "Policy")
    for name, tier, checks, blocks, approvers in POLICIES:
        document = {
            "name": name,
            "tier": tier,
            "checks": {check: {} for check in checks},
            "blocks": list(blocks),
            "approvers": approvers,
        }
        policy.objects.create(name=name, number=1, tier=tier, document=document, digest=digest_of_json(document))


class Migration(migrations.Migration):
    dependencies = [("governance", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
