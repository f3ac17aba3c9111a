"""`manage.py proof DM12 --as USER --all`, or `--to LABEL`, or `--substitute PROFILE:ADDRESS[:PREFIX]`."""

import argparse
from typing import Any

from django.core.management.base import CommandParser

from campaigns.core.actors import Person
from deliveries.lifecycle.proofs import proofs
from deliveries.management.delivery_command import ActCommand, Refused, find, refusing
from deliveries.models import Delivery


def _substitution(text: str) -> proofs.Substitution:
    profile, _, rest = text.partition(":")
    address, _, prefix = rest.partition(":")
    if not (profile.isascii() and profile.isdecimal() and address):
        raise argparse.ArgumentTypeError(f"{text!r}: write the profile's number and an address, like 17:me@example.com")
    return proofs.Substitution(int(profile), address, prefix)


class Command(ActCommand):
    help = "Send a proof to test profiles, or as profiles of the target get it to other addresses."
    done = "Proof {number} of {delivery} is on its way to {n}."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--all", action="store_true", help="to every test profile of yours that gets proofs")
        parser.add_argument("--to", action="append", default=[], metavar="LABEL", help="to this test profile")
        parser.add_argument(
            "--substitute", action="append", default=[], type=_substitution, metavar="PROFILE:ADDRESS[:PREFIX]"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        delivery = find(options["delivery"])
        user = self.user(options["user"])
        readers = self._readers(user, options["to"], every=options["all"])
        self._send(delivery, user, readers, options["substitute"])

    def _readers(self, user: Person, labels: list[str], *, every: bool) -> list[int]:
        found = dict(proofs.test_profiles(user).values_list("label", "pk"))
        for label in labels:
            if label not in found:
                raise Refused(f"There is no test profile {label!r} that gets proofs.")
        return [pk for label, pk in found.items() if every or label in labels]

    def _send(self, delivery: Delivery, user: Person, readers: list[int], rows: list[proofs.Substitution]) -> None:
        with refusing():
            proof = proofs.send_proof(delivery, user, readers=readers, substitutions=rows)
        self.stdout.write(self.done.format(number=proof.number, delivery=delivery, n=proof.recipients.count()))
