"""Admin pages of tracking: the URLs that are never tracked, which are kept when a message marks one."""

from __future__ import annotations

from django.contrib import admin

from campaigns.models.tracking import NeverTracked

from .base import ForAllAdmin


@admin.register(NeverTracked)
class NeverTrackedAdmin(ForAllAdmin):
    """Taking a URL off the list has it tracked in later messages again."""

    list_display = ["url", "since"]
    search_fields = ["url"]
