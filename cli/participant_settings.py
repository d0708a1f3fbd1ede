"""What the operator of a miner or a validator chooses; the file is `<home>/miner.toml`, or so."""

from node.operation import LOG_SETTINGS
from node.settings import ADDRESS, INTEGER, Setting

MINER, VALIDATOR = "miner", "validator"
HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)"
COMMON = ("node", "chain_id", "passphrase_file")  # flags that every command has
FIRST_MONITOR_PORT = 9400


def list_settings(program: str) -> tuple[Setting, ...]:
    """List the settings of a program, MINER or VALIDATOR."""

    def setting(name: str, *arguments: object, **options: object) -> Setting:
        variable = f"DESCENT_{program}_{name}".upper()
        return Setting(name, *arguments, variable=variable, **options)  # type: ignore[arg-type]

    return (
        setting("run", None, "The run to join.", INTEGER, minimum=1),
        setting("key", None, "Name of the key that owns the seat and signs."),
        Setting(
            "node", "", "HOST:PORT of nodes' gRPC doors, with commas.", variable="DESCENT_NODE"
        ),
        Setting("chain_id", "", "Sign for no other chain.", variable="DESCENT_CHAIN_ID"),
        setting("passphrase_file", "", "File whose first line opens encrypted keys."),
        setting("host", "127.0.0.1", "Address to serve at.", pattern=HOST, shape="an address"),
        setting("port", 0, "Port to serve at; 0 = 9300 + uid.", INTEGER, maximum=65_535),
        setting(
            "advertise",
            "",
            "HOST or HOST:PORT that others reach it at, where it is not the one served at.",
            pattern=HOST + r"(:[0-9]{1,5})?",
            shape="HOST or HOST:PORT",
        ),
        setting(
            "port_offset",
            None,
            "Added to the default ports; the devnet's without it.",
            INTEGER,
            maximum=50_000,
        ),
        setting("backend", "auto", "What computes.", choices=("auto", "native", "torch", "numpy")),
        setting(
            "device", "cpu", "Where it computes.", pattern=r"cpu|cuda(:\d+)?", shape="a device"
        ),
        setting("dataset", "", "Folder with the run's text."),
        setting("max_burn", "10DSC", "Most to pay for a seat."),
        setting(
            "monitor.listen",
            "127.0.0.1:0",
            "Metrics, /healthz and /readyz; port 0 = 9400 + uid, empty: none.",
            ADDRESS,
        ),
        *LOG_SETTINGS,
    )


def list_flags(program: str) -> tuple[Setting, ...]:
    """List the settings that are flags of the program's own."""
    return tuple(item for item in list_settings(program) if item.name not in COMMON)
