"""What `manage.py up` stands on: one data directory and its ports, taken before anything starts. Stdlib only."""

import contextlib
import errno
import fcntl
import ipaddress
import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

SMTP_PORT, MAIL_PORT = 2525, 8026


class CannotStart(Exception):
    """One line: what is in the way, and what to do."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Path]:
    """Make the data directory, for its owner only, and hold it: one `up` at a time. Gives its absolute path.

    Raises CannotStart when it cannot be written or another `up` holds it.
    """
    data = folder.expanduser().resolve()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("logs", "journals", "simulator"):
            (data / name).mkdir(exist_ok=True)
        keep_secret_key(data / "secret-key")
        handle = (data / "up.json").open("a")
    except OSError as error:
        raise CannotStart(f"the data directory {data} cannot be used: {error.strerror}.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"already running on {data}{_holder(data)}; stop that one, or give --data DIR.") from None
        yield data


def note(data: Path, address: str) -> None:
    """Leave word of this process and its address for whoever finds the directory held."""
    (data / "up.json").write_text(json.dumps({"process": os.getpid(), "address": address}))


def _holder(data: Path) -> str:
    try:
        noted = json.loads((data / "up.json").read_text())
    except ValueError:
        return ""  # it has not come to its note yet
    return f" (process {noted['process']}, {noted['address']})"


def keep_secret_key(path: Path) -> None:
    """Make a secret key that its owner alone can read, unless there is one: sessions and links outlive a restart."""
    if path.exists():
        return
    new = path.with_suffix(f".{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - mode from the first
        file.write(secrets.token_urlsafe(50))
    with contextlib.suppress(FileExistsError):
        os.link(new, path)  # of two starts at once the first one's key stays
    new.unlink()


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises CannotStart, naming the option that changes the port."""
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family, backlog=128)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = f"is taken; give another with {option}" if taken else f"cannot be used: {error.strerror}"
        raise CannotStart(f"port {port} of {host} {reason}.") from error


def is_here(address: str) -> bool:
    """Whether only this machine can send to or from that numeric address."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = known.ipv4_mapped if known.version == 6 else None
    return (mapped or known).is_loopback


def keep_demo_here(door: socket.socket, host: str) -> None:
    """Raise CannotStart if others could reach the demo, whose passwords everybody knows, at that socket."""
    if not is_here(door.getsockname()[0]):
        raise CannotStart(
            f"other machines reach {host}, and everybody knows the passwords of the demo accounts. Start with "
            "--no-demo and make accounts of your own (manage.py createsuperuser), behind HTTPS; or leave out --host."
        )


def free_port(asked: int | None, usual: int, option: str) -> int:
    """A port of loopback for the simulator: the one asked for; else the usual one, or any when that is taken.

    Raises CannotStart when the one asked for is taken.
    """
    if asked is not None:
        return _try(asked, option)
    try:
        return _try(usual, option)
    except CannotStart:
        return _try(0, option)


def _try(port: int, option: str) -> int:
    with listen("127.0.0.1", port, option) as door:
        return int(door.getsockname()[1])
