"""The files an operator copies: alerts, dashboard, units, containers."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.participant_settings import FIRST_MONITOR_PORT
from node.monitor.probe import probe
from node.operation import MONITOR_PORT
from tests.cli.walk import iterate_commands

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
METRIC = re.compile(r"\b(?:descent|process)_[a-z0-9_]+\b")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def list_alerts() -> list[dict[str, Any]]:
    groups = load_yaml(PROMETHEUS / "alerts.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def list_expressions() -> list[str]:
    """List every expression of alerts and dashboard."""
    dashboard = json.loads((DEPLOY / "grafana" / "descent.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [rule["expr"] for rule in list_alerts()] + [target["expr"] for target in targets]


def list_metrics_asked_for() -> set[str]:
    """List the metrics that alerts and dashboard need."""
    return {name for text in list_expressions() for name in METRIC.findall(text)}


# Prometheus


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_alerts_fire_when_they_should() -> None:
    run("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert "SUCCESS" in run("promtool", "test", "rules", str(PROMETHEUS / "alerts_test.yml"))


def test_every_alert_is_tested_and_explained() -> None:
    names = {rule["alert"] for rule in list_alerts()}
    tests = load_yaml(PROMETHEUS / "alerts_test.yml")["tests"]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == names
    manual = (ROOT / "docs" / "operating.md").read_text()
    assert {name for name in names if f"| {name} |" not in manual} == set()


def test_metrics_are_in_the_manual() -> None:
    manual = (ROOT / "docs" / "metrics.md").read_text()
    documented = set(METRIC.findall(manual))
    asked = {re.sub(r"_(bucket|count|sum)$", "", name) for name in list_metrics_asked_for()}
    assert {name for name in asked if name.startswith("descent_")} <= documented


def test_scraped_ports_are_the_usual_ones() -> None:
    jobs = load_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    for job in jobs:
        port = MONITOR_PORT if job["job_name"] == "descent-node" else FIRST_MONITOR_PORT
        targets = [target for item in job["static_configs"] for target in item["targets"]]
        assert {target.rpartition(":")[2] for target in targets} == {str(port)}


def test_dashboard_panels() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "descent.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert (x, y) not in cells, panel["title"]
                cells.add((x, y))
        assert panel["type"] == "row" or panel["targets"], panel["title"]


# systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_start_what_exists(unit: Path) -> None:
    (line,) = [text for text in unit.read_text().splitlines() if text.startswith("ExecStart=")]
    words = line.partition("descent ")[2].split()
    commands = dict(iterate_commands())
    flags = {flag for param in commands[tuple(words[:2])].params for flag in param.opts}
    assert {word for word in words if word.startswith("--")} <= flags


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_are_valid(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@.", "@one.")
    text = unit.read_text().replace("/opt/descent/.venv/bin/descent", shutil.which("true") or "")
    copy.write_text(re.sub(r"(?m)^(User|Group)=descent$", r"\1=root", text))
    assert run("systemd-analyze", "verify", str(copy)) == ""


# Containers


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = load_yaml(ROOT / "docker-compose.yml")
    return found


def test_compose_services(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name in services if name.startswith("node-")] == [
        f"node-{i}" for i in range(4)
    ]
    assert {"validator-0", "validator-1", "miner-0", "miner-1", "miner-2"} <= set(services)
    assert {"prometheus", "grafana", "folders", "owner"} <= set(services)
    for name, service in services.items():
        assert service["user"] not in ("", "0", "root"), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        for needed in service.get("depends_on", {}):
            assert needed in services
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), volume
        if name not in ("folders", "owner", "cli"):
            assert "healthcheck" in service, name


def test_compose_commands_exist(compose: dict[str, Any]) -> None:
    commands = dict(iterate_commands())
    for service in compose["services"].values():
        if not service["image"].startswith("descent:") or service["command"] == ["--help"]:
            continue
        lines = [service["command"]]
        if "entrypoint" in service:  # a line of the shell
            lines = [part.split() for part in service["command"][0].split("descent ")[1:]]
        for words in lines:
            flags = {f for param in commands[tuple(words[:2])].params for f in param.opts}
            assert {word for word in words if word.startswith("--")} <= flags, words


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose here")
def test_compose_file_is_valid() -> None:
    run("docker-compose", "-f", str(ROOT / "docker-compose.yml"), "config", "-q")


def test_dockerfile_copies_what_exists() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", text):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), line
    assert re.search(r"(?m)^USER descent$", text)
    script = ROOT / "node" / "engine" / "comet" / "build.py"
    alone = run("python3", "-I", str(script), "--help")  # the image runs it without the package
    assert "--to" in alone


def test_probe_runs_without_the_package() -> None:
    script = ROOT / "node" / "monitor" / "probe.py"
    command = ["python3", "-I", str(script), "http://127.0.0.1:9/readyz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "refused" in done.stderr
    assert "refused" in probe("http://127.0.0.1:9/readyz")
