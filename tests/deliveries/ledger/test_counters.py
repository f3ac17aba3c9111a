"""A counter is one line: whoever adds one to the list has it on batches, in the ledger, the recount and the figures."""

import os
import subprocess
import sys
from pathlib import Path

from deliveries.models import Batch, counters
from deliveries.models.counters import COUNTERS, SUMMED, Kind, counts
from deliveries.models.states import FailureType, LogStatus

ROOT = Path(__file__).parents[3]

WITH_ONE_MORE = """
import sys, types
from pathlib import Path

source = Path("deliveries/models/counters.py").read_text()
line = "    hard: int = "
assert source.count(line) == 1
room = types.ModuleType("deliveries.models.counters")
sys.modules[room.__name__] = room
exec(source.replace(line, "    ended: int = _counts(status=(SENT, FAILED))\\n" + line), room.__dict__)

import tests.environment
import django
from django.conf import settings
settings.MIGRATION_MODULES = dict.fromkeys(("campaigns", "deliveries", "reporting"))
settings.DATABASES["default"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
django.setup()

from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)

from campaigns.models import Brand, Campaign, Message
from deliveries.ledger import recount, statuses
from deliveries.ledger.change import Change
from deliveries.ledger.counters import counters, series_figures
from deliveries.ledger.reports import Report, decide
from deliveries.ledger.transitions import Fact
from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.routing import Routing
from deliveries.models.states import LogMove
from deliveries.sending import leases, results
from django.db import transaction
from django.utils import timezone
from tests.deliveries.sending.sending_rows import sending_delivery

campaign = Campaign.objects.create(label="C")
message = Message.objects.create(label="M", campaign=campaign, brand=Brand.objects.create(label="B"))
delivery = sending_delivery(message, Routing.objects.create(label="R"))
lease = leases.take(delivery.batches.get().pk)
first, second, third = (row.log_id for row in leases.claim(lease, 100))
results.record(lease, [Change(first, LogMove.ACCEPT, 0, reply=""), Change(second, LogMove.RELAY, 0, reply="")])
assert Batch.objects.get().ended == counters(delivery).ended == 1
with transaction.atomic():
    decide([Report(second, Fact.HARD, timezone.now())])
assert Batch.objects.get().ended == 2 == series_figures(Delivery.objects.all())["ended"]
assert recount.drifts(delivery.pk) == []
Batch.objects.update(ended=7)
assert [(one.counter, one.counted) for one in recount.correct(delivery.pk)] == [("ended", 2)]
print("counted", Batch.objects.get().ended)
"""


def test_one_line_adds_a_counter() -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", WITH_ONE_MORE], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "counted 2\n"), done.stderr


def test_batches_have_just_these_columns() -> None:
    others = {"id", "delivery", "number", "fence", "holder", "lease_until", "next_due_at", "gated"}
    assert {field.name for field in Batch._meta.concrete_fields} == others | set(COUNTERS)
    assert set(COUNTERS) - set(SUMMED) == {"total", "complaints"}


def test_the_numbers_are_those_of_the_models() -> None:
    for code in (*LogStatus, *FailureType):
        assert code is LogStatus.IGNORED or getattr(counters, code.name) == code
    assert set(counters.IN_BATCHES) == set(LogStatus) - {LogStatus.IGNORED}


def test_each_row_of_a_batch_has_one_outcome() -> None:
    for status in counters.IN_BATCHES:
        counted = [name for name in counters.OUTCOMES if counts(COUNTERS[name], Kind(status))]
        assert len(counted) == 1 and counts(COUNTERS["total"], Kind(status))
