"""The environment of the other senders, apart from the product's: made from peers.lock when it is first asked for."""

from __future__ import annotations

import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "peers.lock"
PLACE = HERE.parents[2] / ".venv" / "peers"


class NoPeers(Exception):
    """They cannot be installed; the text says why."""


def python() -> Path:
    """The interpreter that has django-post_office and django-mailer. Raises NoPeers."""
    mark, wanted = PLACE / "installed", sha256(LOCK.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        print("Installing the other senders from tests/bench/rivals/peers.lock …", file=sys.stderr)
        venv.create(PLACE, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary"]
        try:
            done = subprocess.run(
                [str(PLACE / "bin/python"), *install, ":all:", "--requirement", str(LOCK)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoPeers("the registry did not answer within five minutes") from error
        if done.returncode:
            raise NoPeers(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed")
        mark.write_text(wanted)
    return PLACE / "bin/python"
