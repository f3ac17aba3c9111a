"""`manage.py resume DM12 --as USER`."""

from deliveries import commands
from deliveries.command_line import ActCommand


class Command(ActCommand):
    help = "Go on with exactly the unsent messages of a paused delivery."
    act = staticmethod(commands.resume)
    done = "Resumed by {user}: {delivery}."
