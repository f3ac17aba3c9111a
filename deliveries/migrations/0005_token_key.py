"""Deliveries note the key that signs their letters; those that are there were prepared before (empty: the old form)."""

from django.db import migrations, models

import campaigns.core.secret_keys


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0004_series_seal"),
    ]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="token_key",
            field=models.CharField(
                blank=True, db_default="", default=campaigns.core.secret_keys.present_name, editable=False, max_length=12
            ),
        ),
    ]
