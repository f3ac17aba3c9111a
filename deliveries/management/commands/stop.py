"""`manage.py stop DM12 --as USER`."""

from deliveries.lifecycle import commands
from deliveries.management.delivery_command import ActCommand


class Command(ActCommand):
    help = "End a delivery's sending for good; what has not left never will."
    act = staticmethod(commands.stop)
    done = "Stopped by {user}: {delivery}."
