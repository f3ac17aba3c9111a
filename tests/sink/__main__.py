"""`python -m tests.sink --dir DIR`: serve until SIGTERM; the first line out is `ready PORT`."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from .server import Sink


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.sink")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--fsync", action="store_true", help="each round's notes are durable before its answers")
    parser.add_argument("--behaviour", default="accept", help="see tests/sink/behaviour.py")
    parser.add_argument("--without", action="append", default=[], help="an EHLO keyword not to offer")
    parser.add_argument("--seed", type=int, default=7, help="of the percentages")
    given = parser.parse_args()
    sink = Sink(
        given.dir,
        port=given.port,
        address=given.address,
        fsync=given.fsync,
        behaviour=given.behaviour,
        without=tuple(given.without),
        seed=given.seed,
    )
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: sink.stop())
    print("ready", sink.port, flush=True)
    sink.run()


if __name__ == "__main__":
    main()
