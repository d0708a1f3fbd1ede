"""`descent doctor`: each line by its cause, and the whole against a real node."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from cli import doctor
from cli.doctor import FAIL, OK, WARN, Finding
from cli.main import run
from genesis.devnet import init_devnet_home
from tests.support.devnet_node import DevnetNode


def examine(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> dict[str, dict[str, Any]]:
    """Type the command; return the worst row by check."""
    assert run(["doctor", "--output", "json", *arguments]) == code
    found: dict[str, dict[str, Any]] = {}
    for row in json.loads(capsys.readouterr().out):
        known = found.get(row["check"])
        if known is None or known["status"] == OK:
            found[row["check"]] = row
    return found


def test_running_node(
    node: DevnetNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "measure_fsync_ms", lambda _: 1.0)  # other tests write, too
    grpc = f"127.0.0.1:{node.grpc_port}"
    rows = examine(capsys, "--home", str(node.home), "--node", grpc)
    for check in ("python", "open files", "key files", "ports", "chain", "chain id", "clock"):
        assert rows[check]["status"] == OK, rows[check]
    assert rows["ports"]["found"] == "the node of this home runs and has them"
    assert rows["version"]["status"] == rows["genesis"]["status"] == OK
    assert all(row["advice"] for row in rows.values() if row["status"] != OK)


def test_other_chain(node: DevnetNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_devnet_home(tmp_path, time_ns=time.time_ns(), onion_seed=bytes(32))
    grpc = f"127.0.0.1:{node.grpc_port}"
    rows = examine(capsys, "--home", str(tmp_path), "--node", grpc, code=1)
    assert rows["chain id"]["status"] == OK  # the same name
    assert rows["genesis"]["status"] == FAIL  # another beginning
    assert "get the genesis file" in rows["genesis"]["advice"]


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "node.toml").write_text('[grpc]\nlisn = "x"\n')
    seed = tmp_path / "config" / "onion_seed"
    seed.write_bytes(b"x")
    seed.chmod(0o644)
    rows = examine(capsys, "--home", str(tmp_path), "--node", "127.0.0.1:9", code=1)
    assert rows["chain"]["status"] == FAIL
    assert rows["key files"]["advice"] == f"chmod 600 {seed}"
    assert "did you mean grpc.listen" in rows["node settings"]["found"]


def test_busy_port_and_foreign_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        places = [
            ("grpc", ("127.0.0.1", busy.getsockname()[1])),
            ("rpc", ("192.0.2.1", 9)),
        ]
        grpc, rpc, _ = doctor.check_ports(places)
    assert (grpc.status, rpc.status) == (FAIL, FAIL)
    assert grpc.advice == "stop what listens there, or --port-offset N"
    assert rpc.advice == "set rpc.listen to an address of this machine"


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (doctor.check_python((3, 10)), FAIL),
        (doctor.check_python((3, 11)), OK),
        (doctor.check_python((3, 99)), WARN),
        (doctor.check_open_files(256), FAIL),
        (doctor.check_open_files(1024), WARN),
        (doctor.check_open_files(65_536), OK),
        (doctor.check_free_space(10**8, Path()), FAIL),
        (doctor.check_free_space(5 * 10**9, Path()), WARN),
        (doctor.check_free_space(10**11, Path()), OK),
        (doctor.check_clock(0.5), OK),
        (doctor.check_clock(-5), FAIL),
        (doctor.check_clock(100), WARN),
        (doctor.check_version("0.2.0", "0.1.0"), WARN),
        (doctor.check_version("0.1.0", "0.1.0"), OK),
    ],
    ids=lambda value: value.found if isinstance(value, Finding) else value,
)
def test_by_value(finding: Finding, status: str) -> None:
    assert finding.status == status
    assert bool(finding.advice) == (status != OK)


@pytest.mark.parametrize(("milliseconds", "status"), [(5, OK), (50, WARN), (500, FAIL)])
def test_disk_writes(
    milliseconds: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "measure_fsync_ms", lambda _: float(milliseconds))
    assert doctor.check_fsync(tmp_path).status == status


def test_older_version_is_named() -> None:
    assert doctor.check_version("0.10.0", "0.9.0").advice == "update this machine"
    assert doctor.check_version("0.9.0", "0.10.0").advice == "the node is older than this machine"
