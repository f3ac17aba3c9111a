"""A built-in rule took a second for some kilobytes of "exceedexceed…"; copies that administrators keep are mended, too."""

from django.db import migrations

OLD = r"(exceed\w*|over|out of|reached|past|insufficient|not enough|no|above|depass\w*)"
NEW = r"(exceed\w{0,9}|over|out of|reached|past|insufficient|not enough|no|above|depass\w{0,9})"


def mend(apps, schema_editor):
    rules = apps.get_model("deliveries", "QualificationRule")
    for rule in rules.objects.filter(pattern__contains=OLD):
        rule.pattern = rule.pattern.replace(OLD, NEW)
        rule.save(update_fields=["pattern"])


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0005_token_key")]
    operations = [migrations.RunPython(mend, migrations.RunPython.noop)]
