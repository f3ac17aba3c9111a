"""Values of the audit stand beside its chain. Entries from before keep theirs in the signed text: version 1."""

import django.db.models.deletion
from django.db import migrations, models

_OLD = {
    "actor": models.CharField(blank=True, db_column="actor", max_length=150, verbose_name="who"),
    "address": models.CharField(blank=True, db_column="address", max_length=45, verbose_name="from"),
    "agent": models.CharField(blank=True, db_column="agent", max_length=120, verbose_name="program"),
    "subject": models.CharField(blank=True, db_column="subject", max_length=200, verbose_name="what"),
}


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0001_initial")]

    operations = [
        # The columns stay: only the models call them by other names.
        *(migrations.AlterField("auditentry", name, field) for name, field in _OLD.items()),
        *(migrations.RenameField("auditentry", name, f"old_{name}") for name in _OLD),
        migrations.AddField(
            "auditentry",
            "version",
            # What a program of before still writes while this is carried out says that it is old.
            models.PositiveSmallIntegerField(db_default=1, default=2, verbose_name="version"),
        ),
        migrations.CreateModel(
            "AuditValue",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("path", models.CharField(max_length=210)),
                (
                    "kind",
                    models.CharField(
                        choices=[("recipient", "recipient"), ("staff", "staff"), ("other", "other")], max_length=9
                    ),
                ),
                ("before", models.TextField(null=True)),
                ("after", models.TextField(null=True)),
                ("salt", models.CharField(max_length=64)),
                (
                    "entry",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="beside",
                        to="campaigns.auditentry",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("entry", "path"), name="audit_value_once")],
            },
        ),
    ]
