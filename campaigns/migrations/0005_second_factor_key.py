"""Second factors note the key that their secret comes from; those there are noted none (empty: the oldest listed)."""

from django.db import migrations, models

import campaigns.core.secret_keys


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0004_proof_domains"),
    ]

    operations = [
        migrations.AddField(
            model_name="secondfactor",
            name="enciphered",
            field=models.CharField(blank=True, db_default="", default="", max_length=40),
        ),
        migrations.AddField(
            model_name="secondfactor",
            name="key",
            field=models.CharField(blank=True, db_default="", default=campaigns.core.secret_keys.present_name, max_length=12),
        ),
    ]
