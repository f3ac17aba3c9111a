"""Traces of one person and one test profile, wherever a delivery leaves them: for test_other_units.py."""

from __future__ import annotations

from typing import Any

from django.utils import timezone


def traces(delivery: Any, by: Any, person: Any, seed: Any) -> dict[str, int]:
    """In: a prepared delivery. Out: the keys of what was made, by model."""
    from deliveries.ledger.events import log_event
    from deliveries.models import ExclusionCause, ExclusionLog, FeedbackEvent, QuarantinedAddress, SendingLog
    from deliveries.models.proofs import Proof, ProofRecipient, Verdict
    from deliveries.models.states import LogStatus, State
    from reporting.models import Figures, TrackingLog

    now, logs = timezone.now(), {log.address: log for log in delivery.sending_logs.all()}
    log = logs[person.email]
    for one in logs.values():
        delivery.sending_logs.filter(pk=one.pk).update(
            status=LogStatus.IN_DOUBT if one == log else LogStatus.SENT, reply=f"250 <{one.address}>", opened_at=now
        )
    delivery.batches.update(pending=0, in_doubt=1, sent=len(logs) - 1)
    type(delivery).objects.filter(pk=delivery.pk).update(
        state=State.IN_PROGRESS, confirmed_at=now, confirmed_by=by, contact_date=now, started_at=now
    )
    for one in logs.values():
        agent = person.last_name if one == log else "curl"
        TrackingLog.objects.create(delivery=delivery, sending_log=one, type=1, link=0, at=now, agent=agent)
        FeedbackEvent.objects.create(
            source=1,
            kind=3,
            key=str(one.pk),
            at=now,
            log_id=one.pk,
            address=one.address,
            text=f"550 <{one.address}>",
        )
    Figures.objects.create(delivery=delivery)
    exclusion = ExclusionLog.objects.create(delivery=delivery, profile=person, address=person.email, cause=9, date=now)
    ExclusionLog.objects.create(delivery=delivery, address="jumbled@beside.example", cause=9, date=now)
    ExclusionCause.objects.filter(delivery=delivery, cause=9).update(volume=2)
    proof = Proof.objects.create(delivery=delivery, number=1, sent_by=by)
    carrier = type(delivery).everything.create(
        message=delivery.message, campaign=delivery.campaign, label="Proof 1", proof=proof, content=delivery.content
    )
    letters = [
        SendingLog.objects.create(delivery=carrier, address=address, date=now, test_profile=test, reply=address)
        for address, test in (("jumbled@beside.example", False), (seed.email, True))
    ]
    ProofRecipient.objects.create(proof=proof, address=letters[0].address, profile=person, sending_log=letters[0])
    ProofRecipient.objects.create(proof=proof, address=seed.email, test_profile=seed, sending_log=letters[1])
    verdict = {"delivery": delivery, "proof": proof, "approved": False}
    Verdict.objects.create(**verdict, address=seed.email)
    Verdict.objects.create(**verdict, address="jumbled@beside.example")
    log_event(delivery, "refused", f"Refused by {seed.email} (proof 1).", address=seed.email)
    log_event(delivery, "exported", f"x took 1 row (q: {person.email[:12]}).", filters={"q": person.email})
    quarantined = QuarantinedAddress.objects.create(
        address=person.email, error_text=person.email, last_delivery=delivery
    )
    return {
        "sendinglog": log.pk,
        "exclusionlog": exclusion.pk,
        "quarantinedaddress": quarantined.pk,
        "deliveryevent": delivery.events.all()[0].pk,
    }
