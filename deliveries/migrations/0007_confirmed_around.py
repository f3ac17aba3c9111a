"""What stood around a delivery when it was confirmed; empty, and so never compared, for those confirmed before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0006_bounded_rules")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="around",
            field=models.JSONField(default=dict, editable=False),
        ),
    ]
