"""The WSGI application that gunicorn serves: Django, behind the door that answers opens and clicks."""

import os
import sys
from collections.abc import Callable, Iterable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if settings.SECRET_KEY_IS_MISSING:  # gunicorn runs no system checks
    raise ImproperlyConfigured("SECRET_KEY is not set. Set it to 50 or more random characters.")
_django = get_wsgi_application()

from deliveries.workers.checks import demo_stays_here  # noqa: E402 - these need the settings and the apps
from reporting.tracking.wsgi import TrackingFastPath  # noqa: E402

for problem in demo_stays_here(None):
    raise ImproperlyConfigured(f"{problem.msg} {problem.hint}")

# A thread that comes back from a query waits this long for one that computes. With Python's 5 ms clicks are answered
# by a third more slowly when there are as many as can be answered (tests/bench/tracking_speed.py).
sys.setswitchinterval(0.0005)
application: Callable[..., Iterable[bytes]] = TrackingFastPath(_django)
if settings.DEMO:
    try:
        from config.dev.demo_door import DemoDoor
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            "DEMO is set, but the image has no demo. Leave DEMO out, or run `manage.py up` from the source."
        ) from error
    application = DemoDoor(application)
