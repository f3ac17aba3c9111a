"""The fixture of this folder."""

from .one_of_each import world as world
