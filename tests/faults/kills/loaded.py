"""Imported by the process that workers are forked from: what they would otherwise spend seconds on at each start."""

import django

django.setup()

from django.urls import get_resolver  # noqa: E402

import deliveries.sending.work_on_batch  # noqa: E402
import deliveries.workers.sweeper  # noqa: E402, F401

get_resolver().url_patterns  # noqa: B018 - loads every room that has pages
