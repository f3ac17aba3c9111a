"""Opt-outs by letters' links hold for the address: also those made before addresses were noted.

Of profiles that staff opted in again since nothing is noted, nor of proofs and traps. By which letter a profile's flag
was set is not known any more, so none of these is undone by a link (letter null).
"""

from django.db import migrations

FILL = """
    INSERT INTO campaigns_addressoptout (address, letter, delivery, at)
    SELECT LOWER(l.address), NULL, MAX(l.delivery_id), MAX(l.opted_out_at) FROM deliveries_sendinglog l
    JOIN deliveries_delivery d ON d.id = l.delivery_id AND d.proof_id IS NULL
    LEFT JOIN campaigns_profile p ON p.id = l.profile_id
    WHERE l.opted_out_at IS NOT NULL AND NOT l.test_profile AND (p.id IS NULL OR p.opt_out_email OR p.opt_out)
    GROUP BY LOWER(l.address)"""


def fill(apps, schema_editor):
    schema_editor.execute(FILL)


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0001_initial"), ("campaigns", "0003_consent")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
