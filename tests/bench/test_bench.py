"""The bench comes to its end and tells all that is asked of it; what the figures are is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBERS = {
    "send": ("vs_post_office", "vs_mailer", "vs_plain", "vs_smtp_source", "vs_limit", "cpu_us"),
    "prepare": ("vs_bulk_create", "per_second", "mb"),
    "kpi": ("read_ms", "rows"),
    "memory": ("ratio_1m_10k",),
    "feedback": ("events_s",),
    "growth": ("cost_1m_over_10k",),
}


@pytest.mark.slow
def test_the_quick_bench_gives_every_figure_and_a_table(service):
    for program in ("postgres", "smtp-sink", "smtp-source", "gcc"):
        service(program)
    command = [sys.executable, "-m", "tests.bench", "--quick", "--minutes", "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    *shown, last = done.stdout.splitlines()
    report = json.loads(last)
    if any("cannot be installed" in words for words in report["skipped"]):
        pytest.skip("\n".join(report["skipped"]))
    assert report["skipped"] == []
    for part, names in NUMBERS.items():
        assert {name: report[part][name] for name in names if not report[part][name] > 0} == {}
    assert len(report["tracking"]) == 4
    assert any(line.startswith("send.vs_post_office ") for line in shown)
