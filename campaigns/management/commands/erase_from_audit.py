"""`manage.py erase_from_audit --profile 12`: take one person's values out of the audit; its chain still holds."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.audit import chain, erasure


class Command(BaseCommand):
    """Whoever may run this has the machine; it stands in the audit."""

    help = "Erase the values that tell of one person from the audit. What was erased is written down, without values."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whom."""
        parser.add_argument("--profile", type=int, metavar="NUMBER", help="a recipient, by the profile's number")
        parser.add_argument("--address", default="", help="a recipient, by address")
        parser.add_argument("--account", type=int, metavar="NUMBER", help="a member of staff, by the account's number")

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase, and say how much; and what is still there."""
        profile, address, account = options["profile"], options["address"], options["account"]
        if (account is not None) == (profile is not None or bool(address.strip())):
            raise CommandError("Name a recipient (--profile, --address or both) or an account (--account).")
        if account is not None:
            done = erasure.erase_account(account)
        else:
            done = erasure.erase_person(profile=profile, address=address)
        chain.seal()
        self.stdout.write(f"Erased {done.values} values beside {done.entries} entries. The chain is unchanged.")
        if done.old:
            named = ", ".join(map(str, done.old[:20])) + (" …" if len(done.old) > 20 else "")
            self.stderr.write(
                self.style.WARNING(
                    f"{len(done.old)} entries from before values stood beside the chain hold the address in themselves "
                    f"(rows {named}). They go when KEEP_AUDIT_DAYS are over."
                )
            )
