"""One domain's limits and trouble slow its own mail alone."""

from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.utils import timezone

from deliveries.mail import throttle
from deliveries.models import SendingLog
from deliveries.models.routing import Routing
from deliveries.models.states import LogStatus
from deliveries.sending import connections, leases, work_on_batch
from tests.sink.server import in_a_thread

from .sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sink(settings, tmp_path, routing):
    """sink(behaviour, limits) starts a server, and gives the routing its port and limits."""
    settings.JOURNAL_DIR = tmp_path / "journals"
    connections.hang_up()
    with ExitStack() as running:

        def start(behaviour="accept", limits=None):
            server = running.enter_context(in_a_thread(tmp_path / "sink", behaviour))
            Routing.objects.filter(pk=routing.pk).update(port=server.port, domain_limits=limits or {})
            routing.refresh_from_db()

        yield start
        connections.hang_up()


def send(message, routing, number=60):
    """Half to slow.example, half to quick.example."""
    delivery = sending_delivery(message, routing, number, batch_size=number)
    for log in SendingLog.objects.filter(delivery=delivery):
        domain = ("slow", "quick")[log.pk % 2]
        SendingLog.objects.filter(pk=log.pk).update(address=f"user{log.pk}@{domain}.example")
    work_on_batch.send(delivery.batches.get().pk)
    assert figures(delivery) == true_figures(delivery)
    return delivery


def waiting(domain):
    rows = SendingLog.objects.filter(status=LogStatus.PENDING, address__endswith=f"@{domain}.example", attempts=0)
    return list(rows.order_by("due_at").values_list("due_at", flat=True))


def test_what_is_over_the_rate_leaves_in_its_turn(sink, message, routing):
    sink(limits={"slow.example": {"per_minute": 60}})
    delivery = send(message, routing)
    late = waiting("slow")
    assert (len(late), waiting("quick")) == (20, [])
    assert timedelta(seconds=18) < late[-1] - late[0] < timedelta(seconds=21)
    assert delivery.batches.get().next_due_at == late[0] > timezone.now() - timedelta(seconds=5)
    assert not SendingLog.objects.exclude(claims=0).exists()


def test_a_limit_of_connections_lets_all_leave(sink, message, routing):
    sink(limits={"slow.example": {"connections": 1}})
    delivery = send(message, routing)
    assert figures(delivery) == {"total": 60, "sent": 60, "relayed": 60}
    assert all(domain.open == 0 for domain in connections.pace(routing)._domains.values())


def test_a_domain_that_puts_everything_off_is_left_in_peace(sink, message, routing):
    sink("temporary=100")
    send(message, routing, 200)
    tried = SendingLog.objects.filter(attempts=1).count()
    assert 2 * throttle.PATIENCE <= tried < 120
    assert len(waiting("slow")) + len(waiting("quick")) == 200 - tried


def test_a_batch_knows_its_place_among_those_sent_by_the_same_routing(message, routing):
    delivery = sending_delivery(message, routing, 3, batch_size=1)
    one, two, three = delivery.batches.order_by("number").values_list("pk", flat=True)
    held = [leases.take(pk) for pk in (one, three)]
    assert [leases.place_among_senders(pk, routing.pk) for pk in (one, two, three)] == [(0, 2), (1, 3), (1, 2)]
    leases.release(held[0])
    assert leases.place_among_senders(three, routing.pk) == (0, 1)
