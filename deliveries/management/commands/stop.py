"""`manage.py stop DM12 --as USER`."""

from deliveries import commands
from deliveries.command_line import ActCommand


class Command(ActCommand):
    help = "End a delivery's sending for good; what has not left never will."
    act = staticmethod(commands.stop)
    done = "Stopped by {user}: {delivery}."
