"""Queries as a table: one command a route that has no command of its own.

A row names the command's words, the gRPC method, what it is for, and the fields of the request that
are arguments, in order; a field that may be left out ends in `?`. What a field is, its name says.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chain_client.errors import InvalidInput
from cli.context import QUERY, Context, command, new_group
from cli.messages import to_document
from cli.query_stake import CONSENSUS_PREFIX, find_operator

if TYPE_CHECKING:
    from chain_client.client import ChainClient

PAGE_SIZE = 1_000


@dataclass(frozen=True)
class Route:
    """One row."""

    words: str
    method: str
    help: str
    fields: str = ""


COSMOS = (
    Route("accounts show", "auth.v1beta1/AccountInfo", "Show number, sequence and key.", "address"),
    Route("accounts account", "auth.v1beta1/Account", "Show an account of any kind.", "address"),
    Route("accounts list", "auth.v1beta1/Accounts", "List all accounts."),
    Route(
        "accounts by-number",
        "auth.v1beta1/AccountAddressByID",
        "Show whose account number it is.",
        "account_id",
    ),
    Route("accounts modules", "auth.v1beta1/ModuleAccounts", "List accounts nobody has a key to."),
    Route("accounts module", "auth.v1beta1/ModuleAccountByName", "Show one of them.", "name"),
    Route("accounts prefix", "auth.v1beta1/Bech32Prefix", "Show what addresses begin with."),
    Route("authz by-grantee", "authz.v1beta1/GranteeGrants", "List what it may do.", "grantee"),
    Route("authz by-granter", "authz.v1beta1/GranterGrants", "List what it allows.", "granter"),
    Route(
        "authz between",
        "authz.v1beta1/Grants",
        "List what one account allows another.",
        "granter grantee msg_type_url?",
    ),
    Route("bank balances", "bank.v1beta1/AllBalances", "Show all coins of an account.", "address"),
    Route("bank spendable", "bank.v1beta1/SpendableBalances", "Show what it can spend.", "address"),
    Route(
        "bank spendable-of",
        "bank.v1beta1/SpendableBalanceByDenom",
        "Show what it can spend of one coin.",
        "address denom",
    ),
    Route("bank supply-of", "bank.v1beta1/SupplyOf", "Show how much there is of a coin.", "denom"),
    Route("bank denoms", "bank.v1beta1/DenomsMetadata", "List the coins and their units."),
    Route("bank denom", "bank.v1beta1/DenomMetadata", "Show the units of a coin.", "denom"),
    Route(
        "distribution rewards-from",
        "distribution.v1beta1/DelegationRewards",
        "Show what an account earned with one operator.",
        "delegator_address validator_address",
    ),
    Route(
        "distribution operators",
        "distribution.v1beta1/DelegatorValidators",
        "List the operators an account earns with.",
        "delegator_address",
    ),
    Route(
        "distribution withdraw-address",
        "distribution.v1beta1/DelegatorWithdrawAddress",
        "Show where the rewards of an account are paid.",
        "delegator_address",
    ),
    Route(
        "distribution commission",
        "distribution.v1beta1/ValidatorCommission",
        "Show the commission an operator can withdraw.",
        "validator_address",
    ),
    Route(
        "distribution slashes",
        "distribution.v1beta1/ValidatorSlashes",
        "List when delegators of an operator lost stake.",
        "validator_address starting_height? ending_height?",
    ),
    Route(
        "feegrant between",
        "feegrant.v1beta1/Allowance",
        "Show what one account pays for another.",
        "granter grantee",
    ),
    Route(
        "feegrant by-grantee", "feegrant.v1beta1/Allowances", "List who pays its fees.", "grantee"
    ),
    Route(
        "feegrant by-granter",
        "feegrant.v1beta1/AllowancesByGranter",
        "List whose fees it pays.",
        "granter",
    ),
    Route("gov constitution", "gov.v1/Constitution", "Show the constitution."),
    Route(
        "gov deposit", "gov.v1/Deposit", "Show what one account deposited.", "proposal_id depositor"
    ),
    Route("gov vote", "gov.v1/Vote", "Show how one account voted.", "proposal_id voter"),
    Route("gov tally", "gov.v1/TallyResult", "Show how a vote stands or ended.", "proposal_id"),
    Route("mint inflation", "mint.v1beta1/Inflation", "Show a year's emission over the supply."),
    Route("mint provisions", "mint.v1beta1/AnnualProvisions", "Show a year's emission."),
    Route(
        "slashing signing-info",
        "slashing.v1beta1/SigningInfo",
        "Show one consensus key.",
        "cons_address",
    ),
    Route(
        "slashing evidence-of", "evidence.v1beta1/Evidence", "Show one piece of evidence.", "hash"
    ),
    Route("staking pool", "staking.v1beta1/Pool", "Show how much is bonded."),
    Route("staking operator", "staking.v1beta1/Validator", "Show one operator.", "validator_addr"),
    Route(
        "staking delegation",
        "staking.v1beta1/Delegation",
        "Show what an account delegated to one operator.",
        "delegator_addr validator_addr",
    ),
    Route(
        "staking delegators",
        "staking.v1beta1/ValidatorDelegations",
        "List who delegated to an operator.",
        "validator_addr",
    ),
    Route(
        "staking leaving",
        "staking.v1beta1/ValidatorUnbondingDelegations",
        "List what is leaving an operator.",
        "validator_addr",
    ),
    Route(
        "staking unbonding-from",
        "staking.v1beta1/UnbondingDelegation",
        "Show what an account gets back from one operator.",
        "delegator_addr validator_addr",
    ),
    Route(
        "staking operators-of",
        "staking.v1beta1/DelegatorValidators",
        "List the operators an account delegated to.",
        "delegator_addr",
    ),
    Route(
        "staking operator-of",
        "staking.v1beta1/DelegatorValidator",
        "Show one of them.",
        "delegator_addr validator_addr",
    ),
    Route("upgrade plan", "upgrade.v1beta1/CurrentPlan", "Show the planned upgrade."),
    Route("upgrade applied", "upgrade.v1beta1/AppliedPlan", "Show when it happened.", "name"),
    Route("upgrade authority", "upgrade.v1beta1/Authority", "Show governance's account."),
)
DESCENT = (
    Route("beacon anchors", "beacon.v1/Anchors", "List the operators' hash onions."),
    Route("beacon value", "beacon.v1/Beacon", "Show the random value of a block.", "height"),
    Route("lineage by-root", "lineage.v1/ByRoot", "Find a checkpoint by tensor root.", "root"),
    Route("lineage checkpoint", "lineage.v1/Checkpoint", "Show one checkpoint.", "run_id round"),
    Route("lineage checkpoints", "lineage.v1/Checkpoints", "List those of a run.", "run_id"),
    Route("lineage latest", "lineage.v1/Latest", "Show the newest of a run.", "run_id"),
    Route("rounds show", "rounds.v1/Round", "Show a round.", "run_id round"),
    Route("rounds current", "rounds.v1/CurrentRound", "Show the round in work.", "run_id"),
    Route("rounds commitments", "rounds.v1/Commitments", "List who committed.", "run_id round"),
    Route("rounds attestations", "rounds.v1/Attestations", "List who attested.", "run_id round"),
    Route("rounds audits", "rounds.v1/AuditTargets", "List who is audited.", "run_id round"),
    Route("runs list", "runs.v1/Runs", "List the runs."),
    Route("runs show", "runs.v1/Run", "Show a run.", "run_id"),
    Route("runs participants", "runs.v1/Participants", "List the seats of a run.", "run_id"),
    Route("runs participant", "runs.v1/Participant", "Show a seat.", "run_id uid hotkey?"),
    Route("runs price", "runs.v1/BurnPrice", "Show what a seat costs now.", "run_id"),
    Route("weights bonds", "weights.v1/Bonds", "List the bonds of validators.", "run_id"),
    Route("weights epoch", "weights.v1/Epoch", "Show how a round was paid.", "run_id round"),
    Route("weights latest-epoch", "weights.v1/LatestEpoch", "Show the newest of them.", "run_id"),
    Route("weights judgements", "weights.v1/Judgements", "List the judgements.", "run_id round"),
    Route("weights vestings", "weights.v1/Vestings", "List what is yet to be paid.", "run_id uid"),
)
HELP = {
    "accounts": "Accounts, their numbers and keys.",
    "authz": "What accounts let others do.",
    "feegrant": "Who pays whose fees.",
    "upgrade": "Planned and past upgrades.",
    "beacon": "Random values of blocks.",
    "lineage": "Checkpoints as the chain records them.",
    "rounds": "Rounds of runs.",
    "runs": "Runs and their seats, as the chain records them.",
    "weights": "Judgements, bonds, payments.",
}
# name of a request's field -> (kind, what --help calls it)
_ACCOUNT = ("account", "NAME|ADDRESS")
_OPERATOR = ("operator", "OPERATOR")
_FIELDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("address", "delegator_addr", "delegator_address"), _ACCOUNT),
    **dict.fromkeys(("granter", "grantee", "voter", "depositor", "hotkey"), _ACCOUNT),
    **dict.fromkeys(("validator_addr", "validator_address"), _OPERATOR),
    "proposal_id": ("number", "PROPOSAL"),
    "run_id": ("number", "RUN"),
    "round": ("number", "ROUND"),
    "uid": ("number", "UID"),
    "account_id": ("number", "NUMBER"),
    **dict.fromkeys(("height", "starting_height", "ending_height"), ("number", "HEIGHT")),
    "root": ("bytes", "ROOT"),
    "hash": ("text", "HASH"),
    "name": ("text", "NAME"),
    "denom": ("text", "DENOM"),
    "msg_type_url": ("text", "TYPE_URL"),
    "cons_address": ("consensus", f"{CONSENSUS_PREFIX.upper()}|HEX"),
}


def list_paths() -> dict[str, str]:
    """List the gRPC path of every command made here, by its words."""
    rows = [(route, "cosmos") for route in COSMOS] + [(route, "descent") for route in DESCENT]
    found = {}
    for route, root in rows:
        package, _, method = route.method.partition("/")
        found[route.words] = f"/{root}.{package}.Query/{method}"
    return found


def add_routes(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the commands of the table to their groups, and the groups that are missing to `app`."""
    paths = list_paths()
    for route in (*COSMOS, *DESCENT):
        group, name = route.words.split()
        if group not in groups:
            groups[group] = new_group(HELP[group])
            app.add_typer(groups[group], name=group)
        command(groups[group], name, needs=QUERY)(_make_function(route, paths[route.words]))


def _make_function(route: Route, path: str) -> Any:
    async def ask(context: Context, **values: Any) -> Any:
        given = {name: _parse(context, name, value) for name, value in values.items() if value}
        async with context.client() as client:
            return simplify(to_document(await fetch(client, path, given)))

    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [_make_parameter(name) for name in route.fields.split()]
    ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    ask.__name__, ask.__doc__ = route.words.replace(" ", "_").replace("-", "_"), route.help
    return ask


def _make_parameter(field: str) -> inspect.Parameter:
    name, is_optional = field.removesuffix("?"), field.endswith("?")
    kind, title = _FIELDS[name]
    metavar = f"[{title}]" if is_optional else title
    annotation: Any
    if kind == "number":
        annotation = Annotated[int, typer.Argument(metavar=metavar, min=0)]
    else:
        annotation = Annotated[str, typer.Argument(metavar=metavar)]
    default: Any = inspect.Parameter.empty
    if is_optional:
        default = 0 if kind == "number" else ""
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default
    )


def _parse(context: Context, name: str, value: Any) -> Any:
    """Return what the request's field holds for what a person typed."""
    kind = _FIELDS[name][0]
    if kind == "account":
        return context.address(value)
    if kind == "operator":
        return find_operator(context, value)
    if kind == "consensus" and not value.startswith(CONSENSUS_PREFIX):
        from chain_client.address import encode_address

        return encode_address(_parse_hex(value), CONSENSUS_PREFIX)
    return _parse_hex(value) if kind == "bytes" else value


def _parse_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not hex") from None


async def fetch(client: "ChainClient", path: str, values: dict[str, Any]) -> Any:
    """Ask a method by its path; all pages of what comes in pages, as one response."""
    from google.protobuf import descriptor_pool, message_factory

    service, _, method = path.strip("/").partition("/")
    package = service.rpartition(".")[0]
    pallet = package.split(".")[1]
    is_ours = package.startswith("descent.")
    import_module(f"proto.{package}.{pallet}_pb2" if is_ours else f"{package}.query_pb2")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]
    request = message_factory.GetMessageClass(found.input_type)(**values)
    response_class = message_factory.GetMessageClass(found.output_type)
    response = response_class()
    has_pages = "pagination" in found.input_type.fields_by_name
    while True:
        if has_pages:
            request.pagination.limit = PAGE_SIZE
        page = await client.query(path, request, response_class)
        response.MergeFrom(page)
        if not has_pages or not page.pagination.next_key:
            return response
        request.pagination.key = page.pagination.next_key


def simplify(document: dict[str, Any]) -> Any:
    """Leave the envelope of a response out: paging, and the name of its one list or message."""
    left = {name: value for name, value in document.items() if name != "pagination"}
    values = list(_list_nested(left))
    return values[0] if len(left) == len(values) == 1 else left


def _list_nested(document: dict[str, Any]) -> Iterator[Any]:
    for name, value in document.items():
        if isinstance(value, dict) or (isinstance(value, list) and not name.endswith("_udsc")):
            yield value
