"""A private Postfix for the tests: its own configuration, queue and log on loopback, gone at the end.

What becomes of a message depends on the recipient's domain: deliver.test goes into a Maildir; the others go to a
server that refuses refuse.test, puts later.test off once, and expire.test until Postfix gives up.
Reports come back by LMTP.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.smtp_server import Peer, Server

from .postgres import free_port

DOMAINS = ("deliver.test", "refuse.test", "later.test", "expire.test")
RETURN_DOMAIN = "bounces.test"

_MAIN = """\
compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.org
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {place}/log
maillog_file_prefixes = {place}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
local_recipient_maps =
local_transport = error:5.1.1 no local users
relay_domains = refuse.test, later.test, expire.test, bounces.test
transport_maps = inline:{{
    {{ refuse.test = smtp:[127.0.0.1]:{next_port} }}
    {{ later.test = smtp:[127.0.0.1]:{next_port} }}
    {{ expire.test = smtp:[127.0.0.1]:{next_port} }}
    {{ bounces.test = {bounces} }} }}
virtual_mailbox_domains = deliver.test
virtual_mailbox_base = {place}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
default_destination_concurrency_limit = 20
default_destination_concurrency_failed_cohort_limit = 100000
initial_destination_concurrency = 20
lmtp_destination_recipient_limit = 1
minimal_backoff_time = 2s
maximal_backoff_time = 3s
queue_run_delay = 1s
delay_warning_time = {delay_warning}s
maximal_queue_lifetime = 1d
bounce_queue_lifetime = 1d
confirm_delay_cleared = no
notify_classes =
in_flow_delay = 0
fast_flush_domains =
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - 100 smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
lmtp      unix  - - n - - lmtp
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A running instance. port: where it takes mail; maildir: where deliver.test goes."""

    def __init__(self, program: str, place: Path, port: int) -> None:
        self.program, self.place, self.port = program, place, port
        self.maildir = place / "mail" / "all"

    def command(self, what: str) -> None:
        """postfix start, stop …"""
        command = [self.program, "-c", str(self.place / "etc"), what]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def waiting(self) -> int:
        """How many messages are in the queue."""
        queues = ("maildrop", "incoming", "active", "deferred")
        return sum(1 for name in queues for path in (self.place / "queue" / name).rglob("*") if path.is_file())

    def expire(self, domain: str) -> int:
        """Let it give up what waits for a domain, as at the end of the queue's lifetime. Out: how many messages."""
        found = re.findall(rf": ([0-9A-F]{{6,}}): to=<[^>]*@{re.escape(domain)}>.* status=deferred ", self.log())
        ids = "".join(f"{queue_id}\n" for queue_id in set(found)).encode()
        command = [str(Path(self.program).with_name("postsuper")), "-c", str(self.place / "etc"), "-e", "-"]
        subprocess.run(command, input=ids, check=True, stderr=subprocess.DEVNULL, timeout=120)
        return len(set(found))

    def log(self) -> str:
        """All that it has logged."""
        path = self.place / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def outcomes(self) -> dict[str, str]:
        """{recipient: "sent", "bounced", "expired" or "deferred"}: the last word of its log, reports left out."""
        found: dict[str, str] = {}
        recipients: dict[str, str] = {}
        for line in self.log().splitlines():
            if match := re.search(r": ([0-9A-F]{6,}): to=<([^>]*)>.* status=(\w+) ", line):
                queue_id, recipient, status = match.groups()
                recipients[queue_id] = recipient
                if status == "deferred" and found.get(recipient) in ("sent", "bounced", "expired"):
                    continue
            elif match := re.search(r": ([0-9A-F]{6,}): from=<[^>]*>, status=(?:force-)?expired", line):
                recipient, status = recipients[match.group(1)], "expired"
            else:
                continue
            if not recipient.endswith(f"@{RETURN_DOMAIN}"):
                found[recipient] = status
        return found


@contextmanager
def running_postfix(
    program: str, *, inbox_port: int = 1, delay_warning: int = 4, main: str = "", master: str = ""
) -> Iterator[Postfix]:
    """An instance made from scratch; takes root. In: the path of `postfix`, the port of the bounce inbox, the seconds
    after which it says that it goes on trying; and lines for main.cf and master.cf, which decide what becomes of
    bounces if they name a service `office`."""
    place = Path(tempfile.mkdtemp(prefix="deliveries-postfix-"))
    place.chmod(0o755)
    port, owner = free_port(), _user("postfix")
    with put_off_server() as next_port:
        for name in ("etc", "queue", "data", "mail"):
            (place / name).mkdir()
        shutil.chown(place / "data", *owner)
        shutil.chown(place / "mail", *owner)
        values = {
            "place": place,
            "daemons": "/usr/lib/postfix/sbin",
            "next_port": next_port,
            "bounces": "office:" if master else f"lmtp:inet:127.0.0.1:{inbox_port}",
            "uid": owner[0],
            "gid": owner[1],
            "delay_warning": delay_warning,
            "port": port,
        }
        (place / "etc" / "main.cf").write_text(_MAIN.format(**values) + main)
        (place / "etc" / "master.cf").write_text(_MASTER.format(**values) + master)
        postfix = Postfix(program, place, port)
        postfix.command("start")
        try:
            yield postfix
        finally:
            postfix.command("stop")
            shutil.rmtree(place, ignore_errors=True)


def _user(name: str) -> tuple[int, int]:
    import pwd

    found = pwd.getpwnam(name)
    return found.pw_uid, found.pw_gid


def put_off(seen: set[str]) -> Callable[[Peer, str], str]:
    """What the server behind Postfix says to RCPT: refuse.test is refused, later.test is put off once for each
    recipient, and expire.test always. In: `seen` keeps who came before."""

    def answer(_peer: Peer, line: str) -> str:
        address = line[line.index("<") + 1 : line.index(">")]
        if address.endswith("@refuse.test"):
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown in virtual mailbox table"
        if address.endswith("@expire.test") or address not in seen:
            seen.add(address)
            return "450 4.2.0 come again later"
        return "250 ok"

    return answer


@contextmanager
def put_off_server() -> Iterator[int]:
    """The server behind Postfix. Out: its port."""
    server = Server({"RCPT": put_off(set())})
    try:
        yield server.port
    finally:
        server.stop()


def wait_until(done, seconds: float) -> None:  # type: ignore[no-untyped-def]
    """Ask twice a second until `done()`; fail after so many seconds."""
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.5)


def may_run() -> bool:
    """Postfix changes its user, so it wants to be started by root."""
    return os.geteuid() == 0
