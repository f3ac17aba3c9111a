"""django-q2's own admin pages are taken away: whoever edits a schedule or a queued task there decides what the host
runs, and the audit would know nothing of it. What fails stands in the log; what waits, on /healthz and /metrics."""

from __future__ import annotations

import django_q.admin  # noqa: F401 - registers them; later it would undo what is done here
from django.apps import apps
from django.contrib import admin

for model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(model):
        admin.site.unregister(model)
