"""`manage.py verify_audit`: prove that nothing in the audit was altered, removed or reordered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.audit import chain as audit_chain
from campaigns.audit import verify


class Command(BaseCommand):
    """Exit status 1 when something is wrong; each finding is a line."""

    help = "Check the audit's chain from its first row to its last, and against the heads that were noted."

    def add_arguments(self, parser: CommandParser) -> None:
        """Heads noted elsewhere."""
        parser.add_argument("--head", action="append", default=[], metavar="POSITION:CHAIN", help="a head noted once")
        parser.add_argument("--heads", type=Path, metavar="FILE", help="a kept log, or another host's file of heads")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seal what waits, then read all."""
        audit_chain.seal()
        proof = verify.verify([*audit_chain.anchors(), *_given(options)])
        for finding in proof.findings:
            self.stderr.write(self.style.ERROR(f"{finding.words}."))
        position, chain = proof.head
        if proof.findings:
            raise CommandError(f"The audit is not whole: {len(proof.findings)} findings in {proof.checked} entries.")
        begin = f"{proof.first} to " if proof.checked else ""
        self.stdout.write(f"The audit is whole: entries {begin}{position}. Note its head: {position}:{chain}")
        self.stdout.write(f"Beside it stand {proof.values} values; {proof.erased} were erased, as entries say.")


def _given(options: dict[str, Any]) -> list[tuple[int, str]]:
    """The heads of the command line. Raises CommandError for one that cannot be read."""
    found = []
    for text in options["head"]:
        head = audit_chain.read_anchor(text)
        if head is None:
            raise CommandError(f"{text!r} is no head; write POSITION:CHAIN as this command prints it.")
        found.append(head)
    if options["heads"]:
        lines = options["heads"].read_text(errors="replace").splitlines()
        found += [head for line in lines if (head := audit_chain.read_anchor(line))]
    return found
