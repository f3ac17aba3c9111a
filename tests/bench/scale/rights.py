"""Lists for somebody with narrow rights among 10,000 campaigns and 1,000 groups with grants: time and queries a page.

`python -m tests.bench.scale.rights` prints for each list the median CPU time of seven page loads, on SQLite in memory.
"""

from __future__ import annotations

import logging
import statistics
import time

CAMPAIGNS, GROUPS, UNITS, OWN_GROUPS = 10_000, 1_000, 500, 20
PAGES = (
    "/admin/campaigns/campaign/",
    "/admin/campaigns/message/",
    "/admin/deliveries/delivery/",
    "/api/campaigns/?limit=100",
    "/api/deliveries/?limit=100",
)


def furnish() -> None:
    """A tree of units, campaigns over all of it with a message and a delivery each, groups with units and grants."""
    from django.contrib.auth.models import Group, Permission, User
    from guardian.models import GroupObjectPermission

    from campaigns.accounts import permissions
    from campaigns.models import Brand, Campaign, Message
    from campaigns.models.units import ROOT, GroupUnit, OrganizationalUnit
    from deliveries.models import Delivery

    units = [OrganizationalUnit.objects.get(pk=ROOT)]
    for number in range(UNITS):
        parent = units[number // 5]
        units.append(OrganizationalUnit.objects.create(label=f"Unit {number}", name=f"u{number}", parent=parent))
    brand = Brand.objects.create(label="B", sender_name="B", sender_address="b@example.com", sender_domains="*")
    campaigns = Campaign.objects.bulk_create(
        Campaign(label=f"Campaign {number}", unit=units[1 + number % UNITS]) for number in range(CAMPAIGNS)
    )
    messages = Message.objects.bulk_create(Message(label=f"M {c.pk}", campaign=c, brand=brand) for c in campaigns)
    Delivery.objects.bulk_create(Delivery(message=m, campaign=m.campaign, label=m.label) for m in messages)
    groups = Group.objects.bulk_create(Group(name=f"Group {number}") for number in range(GROUPS))
    GroupUnit.objects.bulk_create(GroupUnit(group=g, unit=units[2 + i % 3]) for i, g in enumerate(groups))
    start = Permission.objects.get(codename="start_deliveries", content_type__app_label="campaigns")
    GroupObjectPermission.objects.bulk_create(
        GroupObjectPermission(
            group=group, permission=start, content_type=start.content_type, object_pk=str(campaigns[i * 10 + n].pk)
        )
        for i, group in enumerate(groups)
        for n in range(10)
    )
    user = User.objects.create_user("narrow", is_staff=True)
    user.groups.set(groups[:OWN_GROUPS])
    groups[0].permissions.set(permissions.permissions_of(permissions.STARTERS))


def measure() -> list[tuple[str, float, int]]:
    """(page, median ms, queries)."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, found = Client(), []
    client.force_login(User.objects.get(username="narrow"))
    for page in PAGES:
        client.get(page)
        times = []
        for _again in range(7):
            begun = time.process_time()
            answer = client.get(page)
            times.append(1000 * (time.process_time() - begun))
            assert answer.status_code == 200, (page, answer.status_code)
        with CaptureQueriesContext(connection) as queries:
            client.get(page)
        found.append((page, statistics.median(times), len(queries)))
    return found


def main() -> None:
    """Make the database, fill it, measure, print."""
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("SECRET_KEY", "only-for-the-bench-" + "0123456789" * 5)
    os.environ.update(DATABASE_URL="sqlite://:memory:", HTTPS="0")
    import django

    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    setup_test_environment(debug=False)
    logging.disable(logging.INFO)
    call_command("migrate", verbosity=0)
    furnish()
    print(
        f"{CAMPAIGNS} campaigns, {GROUPS} groups with 10 grants each, {UNITS} units; one person in {OWN_GROUPS} groups"
    )
    for page, median, queries in measure():
        print(f"{median:7.1f} ms CPU  {queries:3d} queries  {page}")


if __name__ == "__main__":
    main()
