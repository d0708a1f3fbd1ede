"""A chain with staking, distribution and gov in memory, and the messages its tests send."""

from __future__ import annotations

from typing import Any

from cosmos.gov.v1 import gov_pb2, query_pb2, tx_pb2

from node.pallets.accounts.pallet import AccountsPallet
from node.pallets.bank.pallet import BankPallet
from node.pallets.distribution.pallet import DistributionPallet
from node.pallets.gov.pallet import GovPallet
from node.pallets.mint.pallet import MintPallet
from node.pallets.staking.pallet import StakingPallet
from node.pallets.upgrade.pallet import UpgradePallet
from node.runtime.addresses import encode_account
from node.runtime.coins import build_coin
from node.runtime.pallet import AUTHORITY_ADDR, Pallet
from proto.packing import pack_any
from tests.pallets.harness import Harness, make_addr, make_text_addr
from tests.pallets.staking.staking_chain import POOLS, Nodes, build_create, build_delegate

SERVICE = "/cosmos.gov.v1.Query"
DSC = 10**6
DAY = 24 * 3600
AUTHORITY = encode_account(AUTHORITY_ADDR)
YES, ABSTAIN = gov_pb2.VOTE_OPTION_YES, gov_pb2.VOTE_OPTION_ABSTAIN
NO, VETO = gov_pb2.VOTE_OPTION_NO, gov_pb2.VOTE_OPTION_NO_WITH_VETO


def build_pallets() -> list[Pallet[Any]]:
    accounts = AccountsPallet({**POOLS, "distribution": (), "gov": ()})
    bank = BankPallet(accounts)
    mint = MintPallet(bank)
    staking = StakingPallet(bank, Nodes())
    distribution = DistributionPallet(accounts, bank, staking, mint)
    staking.add_listener(distribution)
    upgrade = UpgradePallet()
    return [upgrade, accounts, bank, mint, staking, distribution, GovPallet(bank, staking)]


class GovChain(Harness):
    """Operators `big` with 500 DSC, `small` with 300; alice delegates 200 to `big`."""

    def __init__(self) -> None:
        params = {"initial_emission_udsc": "0", "supply_cap_udsc": str(21 * 10**12)}
        super().__init__(*build_pallets(), genesis={"mint": {"params": params}})
        self.get_pallet("gov").set_dispatcher(self.runtime)
        for name in ("big", "small", "alice", "bob"):
            self.make_account(name, 10_000 * DSC)
        self.run(build_create("big", 500 * DSC))
        self.run(build_create("small", 300 * DSC))
        self.run(build_delegate("alice", "big", 200 * DSC))

    def make_account(self, name: str, udsc: int = 0) -> str:
        self.get_pallet("mint").issue(self.ctx(), make_addr(name), udsc)
        return super().make_account(name)

    def propose(self, *messages: Any, **fields: Any) -> int:
        """Propose messages with a full deposit of bob's."""
        return int(self.run(build_proposal(*messages, **fields)).response.proposal_id)

    def vote(self, proposal_id: int, **options: int) -> None:
        """Vote by name."""
        for name, option in options.items():
            self.run(build_vote(proposal_id, name, option))

    def get_proposal(self, proposal_id: int) -> Any:
        request = query_pb2.QueryProposalRequest(proposal_id=proposal_id)
        return self.query(f"{SERVICE}/Proposal", request).proposal

    def get_status(self, proposal_id: int) -> str:
        status = gov_pb2.ProposalStatus.Name(self.get_proposal(proposal_id).status)
        return str(status).removeprefix("PROPOSAL_STATUS_")


def build_proposal(*messages: Any, deposit: int = 10 * DSC, **fields: Any) -> Any:
    values: dict[str, Any] = {
        "messages": [pack_any(message) for message in messages],
        "initial_deposit": [build_coin("udsc", deposit)] if deposit else [],
        "proposer": make_text_addr("bob"),
        "title": "title",
        "summary": "summary",
    }
    return tx_pb2.MsgSubmitProposal(**{**values, **fields})


def build_vote(proposal_id: int, name: str, option: int) -> Any:
    return tx_pb2.MsgVote(proposal_id=proposal_id, voter=make_text_addr(name), option=option)


def build_deposit(proposal_id: int, name: str, amount: int) -> Any:
    return tx_pb2.MsgDeposit(
        proposal_id=proposal_id,
        depositor=make_text_addr(name),
        amount=[build_coin("udsc", amount)],
    )
