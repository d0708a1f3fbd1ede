"""Flag over environment over file over default; what cannot be is refused, all of it at once."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.engine.comet.config import build_config
from node.operation import NODE_SETTINGS, make_node_settings
from node.settings import (
    ADDRESS,
    BOOLEAN,
    INTEGER,
    LIST,
    Setting,
    SettingsError,
    build_template,
    format_value,
    get_connect_host,
    hide_credentials,
    is_loopback,
    parse_address,
    resolve,
)

SETTINGS = (
    Setting("name", "none", "A text."),
    Setting("door.listen", "127.0.0.1:1", "An address.", ADDRESS),
    Setting("door.size", 5, "A number.", INTEGER, minimum=1, maximum=9),
    Setting("door.open", False, "Yes or no.", BOOLEAN),
    Setting("door.peers", (), "Texts.", LIST, pattern="[a-z]+", shape="a word"),
    Setting("door.kind", "oak", "A choice.", choices=("oak", "ash")),
)


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def refuse(**options: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolve(SETTINGS, **{"environ": {}, **options})  # type: ignore[arg-type]
    return caught.value.problems


def test_precedence(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "file"\n[door]\nsize = 2\nopen = true\nkind = "ash"\n')
    environ = {"DESCENT_NAME": "env", "DESCENT_DOOR_SIZE": "3"}
    found = resolve(SETTINGS, flags={"name": "flag", "door.size": None}, environ=environ, path=path)
    values = {name: (chosen.value, chosen.where) for name, chosen in found.chosen.items()}
    assert values == {
        "name": ("flag", "flag --name"),
        "door.listen": ("127.0.0.1:1", "default"),
        "door.size": (3, "environment DESCENT_DOOR_SIZE"),
        "door.open": (True, f"file {path}"),
        "door.peers": ((), "default"),
        "door.kind": ("ash", f"file {path}"),
    }
    assert (found.get_origin("name"), found.get_origin("door.kind")) == ("flag", "file")


def test_texts_of_the_environment() -> None:
    environ = {"DESCENT_DOOR_PEERS": "a, b,", "DESCENT_DOOR_OPEN": "no", "DESCENT_DOOR_LISTEN": ""}
    found = resolve(SETTINGS, environ=environ)
    assert (found["door.peers"], found["door.open"], found["door.listen"]) == (
        ("a", "b"),
        False,
        "",
    )


def test_missing_file(tmp_path: Path) -> None:
    assert resolve(SETTINGS, environ={}, path=tmp_path / "none.toml").path is None
    assert "cannot be read" in refuse(path=tmp_path / "none.toml", must_exist=True)[0]


def test_invalid_all_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, 'nam = 1\n[door]\nsize = 12\nlisen = ":1"\n[dor]\nsize = 1\n')
    problems = refuse(path=path, environ={"DESCENT_DOOR_KIND": "elm"}, flags={"name": "x"})
    assert problems == [
        f"{path}: there is no setting 'nam'; did you mean name?",
        f"{path}: there is no setting 'door.lisen' in [door]; did you mean door.listen?",
        f"{path}: there is no setting 'dor'; did you mean door?",
        f"door.size is 12, the bounds are 1 and 9 (file {path})",
        "door.kind is 'elm', one of oak, ash is expected (environment DESCENT_DOOR_KIND)",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("door.size", "1.5"),
        ("door.size", True),
        ("door.size", "0"),
        ("door.open", "maybe"),
        ("door.open", 1),
        ("door.listen", "localhost"),
        ("door.listen", "a b:1"),
        ("door.listen", "127.0.0.1:65536"),
        ("door.listen", 9090),
        ("door.peers", ["UPPER"]),
        ("door.peers", [1]),
        ("door.peers", 1),
        ("name", 1),
    ],
)
def test_invalid_value(name: str, value: object) -> None:
    (problem,) = refuse(flags={name: value})
    assert problem.startswith(f"{name} is ")


def test_invalid_toml(tmp_path: Path) -> None:
    assert "is not TOML" in refuse(path=write(tmp_path, "name = "))[0]


def test_odd_variables() -> None:
    found = resolve(SETTINGS, environ={"DESCENT_DOOR_LISTN": "x", "DESCENT_HOME": "y"})
    assert found.remarks == [
        "the variable DESCENT_DOOR_LISTN sets nothing; did you mean DESCENT_DOOR_LISTEN?"
    ]


def test_template_sets_nothing_until_uncommented(tmp_path: Path) -> None:
    for settings in (SETTINGS, NODE_SETTINGS):
        text = build_template(settings, "Title.")
        assert tomllib.loads(text) == {
            s.name.partition(".")[0]: {} for s in settings if "." in s.name
        }
        lines = [line.removeprefix("# ") if " = " in line else line for line in text.splitlines()]
        found = resolve(settings, environ={}, path=write(tmp_path, "\n".join(lines)))
        assert {n: c.value for n, c in found.chosen.items()} == {
            s.name: s.default for s in settings
        }
        assert {chosen.origin for chosen in found.chosen.values()} == {"file"}


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]))))
def test_format_value_reads_back(values: list[str]) -> None:
    assert tomllib.loads(f"x = {format_value(values)}") == {"x": values}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[::1]:5", ("::1", 5)), ("node-1:26656", ("node-1", 26656)), ("0.0.0.0:0", ("0.0.0.0", 0))],
)
def test_parse_address(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


def test_hosts() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "a.b")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [get_connect_host(h) for h in ("0.0.0.0", "::", "10.0.0.1")] == [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
    ]


def test_credentials_are_hidden() -> None:
    setting = Setting("peers", ("http://me:word@a:1",), "Texts.", LIST)
    (shown,) = [c.describe() for c in resolve([setting], environ={}).chosen.values()]
    assert shown["value"] == ["http://***@a:1"]
    assert hide_credentials("see http://a/b@c") == "see http://a/b@c"


# What the node makes of it


def make(**flags: object) -> object:
    return make_node_settings(Path("h"), resolve(NODE_SETTINGS, flags=flags, environ={}))


def test_node_settings_place_the_doors() -> None:
    flags = {"node.port_offset": 7, "grpc.listen": "0.0.0.0:9090", "substrate.listen": ""}
    flags["rest.cors_origins"] = "https://a.example,*"
    found = make_node_settings(Path("h"), resolve(NODE_SETTINGS, flags=flags, environ={}))
    rest = ("127.0.0.1", 1324)
    assert found.listen == {"grpc": ("0.0.0.0", 9097), "rpc": ("127.0.0.1", 26664), "rest": rest}
    assert found.door_options["rest"][:2] == (
        "--cors-allowed-origin=https://a.example",
        "--cors-allowed-origin=*",
    )
    assert found.list_open() == ["grpc 0.0.0.0:9097"]
    assert found.comet.is_local


def test_node_settings_open_p2p() -> None:
    flags = {"node.engine": "cometbft", "p2p.listen": "0.0.0.0:26656", "p2p.advertise": "a:1"}
    found = make_node_settings(Path("h"), resolve(NODE_SETTINGS, flags=flags, environ={}))
    assert found.list_open() == []  # it is there for others
    assert (found.comet.external_address, found.comet.is_local) == ("a:1", False)


def test_invalid_node_settings() -> None:
    for flags in (
        {"node.engine": "cometbft", "rpc.listen": ""},
        {"state_sync.rpc": ["a:1"]},
        {"state_sync.rpc": ["a:1", "b:1"], "state_sync.trust_height": 3},
    ):
        with pytest.raises(SettingsError):
            make(**flags)


def test_config_of_cometbft() -> None:
    flags = {
        "node.engine": "cometbft",
        "node.moniker": 'a"b',
        "p2p.listen": "0.0.0.0:1",
        "p2p.advertise": "192.0.2.1:1",
        "p2p.peers": [f"{'0' * 40}@node-1:26656"],
        "comet.metrics_listen": "127.0.0.1:26660",
        "comet.signer_listen": "127.0.0.1:26659",
        "log.format": "json",
    }
    found = make_node_settings(Path("h"), resolve(NODE_SETTINGS, flags=flags, environ={}))
    config = tomllib.loads(build_config(found.comet))
    assert (config["moniker"], config["log_format"]) == ('a"b', "json")
    assert config["priv_validator_laddr"] == "tcp://127.0.0.1:26659"
    assert config["rpc"]["laddr"] == "tcp://127.0.0.1:26657"
    assert config["p2p"]["laddr"] == "tcp://0.0.0.0:1"
    assert config["p2p"]["external_address"] == "192.0.2.1:1"
    assert config["p2p"]["persistent_peers"] == f"{'0' * 40}@node-1:26656"
    assert config["p2p"]["pex"]
    assert config["instrumentation"]["prometheus_listen_addr"] == "127.0.0.1:26660"
