"""`manage.py resume DM12 --as USER`."""

from deliveries.lifecycle import commands
from deliveries.management.delivery_command import ActCommand


class Command(ActCommand):
    help = "Go on with exactly the unsent messages of a paused delivery."
    act = staticmethod(commands.resume)
    done = "Resumed by {user}: {delivery}."
