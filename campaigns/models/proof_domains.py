"""The domains that proofs may go to without the role Start deliveries: kept by administrators. Part of message.py."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.domains import BadAddress, ascii_domain
from campaigns.models.audit.watched import Watched

from .units import unit_field


class ProofDomain(models.Model):
    """A domain, exactly as it stands: its subdomains are domains of their own. It serves deliveries of its unit and of
    those below. Kept in lower case and punycode. Who may do what is asked in permissions.py, so there are no
    permissions of the model."""

    domain = models.CharField(
        _("domain"),
        max_length=253,
        help_text=_("As it stands behind the @, such as example.com. Subdomains do not count unless they are listed."),
    )
    unit = unit_field()
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = Watched["ProofDomain"].as_manager()

    class Meta:
        ordering = ["domain", "pk"]
        verbose_name = _("domain for proofs")
        verbose_name_plural = _("domains for proofs")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "unit"],
                name="proof_domain_once",
                violation_error_message=_("This domain is listed for this unit already."),
            )
        ]

    def __str__(self) -> str:
        return self.domain

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As it is compared. Raises BadAddress."""
        self.domain = cleaned(self.domain)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """It must be a domain, not an address or a pattern. Raises ValidationError."""
        try:
            self.domain = cleaned(self.domain)
        except BadAddress as error:
            words = _("Write one domain as it stands behind the @, such as example.com.")
            raise ValidationError({"domain": words}) from error


def cleaned(text: str) -> str:
    """A domain as it is kept. Raises BadAddress, also for one that is too long for the DNS (RFC 1035 section 2.3.4)."""
    domain = ascii_domain(text.strip())
    if len(domain) > 253:
        raise BadAddress("too long")
    return domain
