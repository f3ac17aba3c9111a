"""The deployment files name programs, settings and files that are there, and keep their promises."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from tests.config.image import let_in

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "config" / "deploy"
SETTINGS = (ROOT / "config" / "settings.py").read_text()
READ = re.compile(r'(?:env\.\w+|_number|_switch|_choice|_long_secret|_networks|_database_url)\(\s*"([A-Z_]+)"')


def compose(name: str) -> dict[str, Any]:
    """A compose file; merge keys are resolved."""
    return yaml.safe_load((DEPLOY / name).read_text())


def words_after_manage(text: str) -> list[str]:
    told = re.sub(r"^COPY .*$", "", text, flags=re.M).replace(", ", " ")
    return re.findall(r"manage\.py[\",\]]*\s+\"?([a-z_]+)", told)


def test_the_example_environment_names_settings_alone_and_holds_no_secret() -> None:
    known = {*READ.findall(SETTINGS), "SMTP_PASSWORD"}
    for line in (DEPLOY / "environment.example").read_text().splitlines():
        name, _, value = line.partition("=")
        assert line.startswith("#") or name in known
        assert not (name.endswith(("KEY", "TOKEN", "SECRET", "_PASSWORD")) and value)


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_every_command_in_a_file_is_one_of_ours(path: Path) -> None:
    assert set(words_after_manage(path.read_text())) - {"up", "test"} <= set(get_commands())


def test_the_image_copies_what_is_there_runs_without_root_and_checks_hashes() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.M):
        assert all((ROOT / source).exists() for source in sources.split())
    assert "--require-hashes" in text and re.search(r"^USER back-office$", text, re.M)
    assert 'CMD ["gunicorn"' in text  # no shell between SIGTERM and it


@pytest.mark.parametrize("name", ["compose.yaml", "compose.sender.yaml"])
def test_every_volume_and_secret_of_a_service_is_declared(name: str) -> None:
    whole = compose(name)
    for service in whole["services"].values():
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in whole["volumes"]
        assert set(service.get("secrets", [])) <= set(whole.get("secrets", {}))
        for other in service.get("depends_on", {}):
            assert other in whole["services"]


def test_workers_get_time_to_finish_a_name_and_a_journal_of_their_own() -> None:
    first, further = compose("compose.yaml")["services"]["guard"], compose("compose.sender.yaml")["services"]["guard"]
    for guard in (first, further):
        assert guard["stop_grace_period"] == "60s" and "HOST_ID" in guard["environment"]
        assert guard["volumes"] == ["journals:/data"] and guard["command"][-1] == "guard"
    assert "?" in further["environment"]["HOST_ID"]  # compose refuses to start without one


def test_the_database_and_the_broker_are_open_to_other_hosts_by_tls_alone() -> None:
    alone, shared = compose("compose.yaml")["services"], compose("compose.shared.yaml")["services"]
    for name in ("postgres", "redis"):
        assert "ports" not in alone[name]
        assert all(port.startswith("${PRIVATE_ADDRESS:?") for port in shared[name]["ports"])
    rules = [line.split() for line in (DEPLOY / "postgres-hba.conf").read_text().splitlines() if line[:4] == "host"]
    assert [rule[0] for rule in rules if rule[-1] != "reject"] == ["hostssl"] and rules[-1][-1] == "reject"
    assert "--port 0 --tls-port 6379" in shared["redis"]["command"][-1]
    for name in ("web", "bounces"):
        assert all(port.startswith("127.0.0.1:") for port in alone[name]["ports"])


def test_every_image_is_named_by_its_digest_and_every_process_tells_how_it_is() -> None:
    named = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.M)
    for name in ("compose.yaml", "compose.sender.yaml"):
        services = compose(name)["services"]
        named += [service["image"] for service in services.values() if "build" not in service]
        assert all("healthcheck" in service for service in services.values())
    assert len(named) == 3 and all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in named)
    assert re.search(r"^HEALTHCHECK .*CMD \[", (DEPLOY / "Dockerfile").read_text(), re.M)


def test_the_image_has_the_product_and_no_secret() -> None:
    for path in ("manage.py", "config/settings.py", "config/run.lock", "campaigns/models/message.py"):
        assert let_in(path), path
    for path in ("environment", "database_password", "broker_password", "tls_key"):
        assert not let_in(f"config/deploy/{path}"), path
    for path in (
        ".env",
        ".git/config",
        ".data/secret-key",
        "db.sqlite3",
        "tests/conftest.py",
        "config/.env",
        "config/dev/up.py",
    ):
        assert not let_in(path), path
    ignored = (ROOT / ".gitignore").read_text()
    assert all(f"/config/deploy/{name}\n" in ignored for name in ("environment", "*_password", "tls_*"))


UNITS = sorted(DEPLOY.glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_understands_the_unit(unit: Path, service: Callable[[str], str]) -> None:
    command = [service("systemd-analyze"), "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if unit.name in line and "not executable" not in line]
    assert complaints == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_may_do_little(unit: Path, service: Callable[[str], str]) -> None:
    """`systemd-analyze security` rates 0 (nothing) to 10 (everything); "OK" begins below 3, these are at 1.4."""
    command = [service("systemd-analyze"), "security", "--offline=yes", "--threshold=15", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1:]


def test_all_units_are_held_alike() -> None:
    own = ("Exec", "Description", "After", "KillMode", "Timeout", "Restart=", "#", "[")
    held = {
        tuple(line for line in unit.read_text().splitlines() if line and not line.startswith(own)) for unit in UNITS
    }
    assert len(held) == 1


def test_postfix_understands_the_lines_for_bounces(service: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text((DEPLOY / "postfix-main.cf").read_text())
    usual = "lmtp unix - - n - - lmtp\n"
    (tmp_path / "master.cf").write_text(usual + (DEPLOY / "postfix-master.cf").read_text())
    postconf = service("postconf")
    shown = [
        subprocess.run([postconf, "-c", str(tmp_path), option], capture_output=True, text=True, check=True)
        for option in ("-n", "-M")
    ]
    assert not [done.stderr for done in shown if "warning" in done.stderr]
    assert "lmtp:inet:127.0.0.1:8024" in shown[0].stdout and "bounce_pipe" in shown[1].stdout
