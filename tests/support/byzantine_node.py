"""A node that lies: `python -m tests.support.byzantine_node ...` takes the flags of `node.process`.

`DESCENT_TEST_LIE` says how. `proposals`: what it proposes breaks a rule, another one each time, and
it accepts its own. `app-hash`: it tells its CometBFT a wrong app hash. `nil`: it rejects every
proposal, so that it votes otherwise than an honest node with the same key. `withhold`: it votes
and does not reveal.
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

import proto  # noqa: F401  (puts tendermint.* on the path)

# isort: split
from tendermint.abci import types_pb2 as abci

from node.process import main
from node.runtime.application import Application

GARBAGE = b"\x0a\x07garbage"
OVERSIZE = b"\x0a" + bytes(2**20 + 1)


TIMES = itertools.count()


def break_rule(txs: list[bytes]) -> list[bytes]:
    """Break one rule of proposals."""
    kinds = (
        txs[1:],  # without the others' reveals
        [flip(txs[0]), *txs[1:]],  # with a reveal that nobody signed
        [*txs, GARBAGE],
        [*txs, *txs],
        [*txs, OVERSIZE],
        [b"\x01" + GARBAGE],
    )
    return kinds[next(TIMES) % len(kinds)]


def flip(data: bytes) -> bytes:
    """Change the last byte, which is of a signature."""
    return data[:-1] + bytes((data[-1] ^ 1,))


class LyingApplication:
    """What replaces the methods of `Application`."""

    prepare = Application.prepare_proposal
    finalize = Application.finalize_block

    @staticmethod
    def prepare_proposal(application: Application, request: Any) -> Any:
        """Propose what breaks a rule."""
        honest = LyingApplication.prepare(application, request)
        txs = break_rule(list(honest.txs)) if request.height > 1 else honest.txs
        return abci.ResponsePrepareProposal(txs=txs)

    @staticmethod
    def process_proposal(application: Application, request: Any) -> Any:
        """Accept anything."""
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)

    @staticmethod
    def reject_proposal(application: Application, request: Any) -> Any:
        """Reject anything."""
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.REJECT)

    @staticmethod
    def extend_vote(application: Application, request: Any) -> Any:
        """Say nothing."""
        return abci.ResponseExtendVote()

    @staticmethod
    def finalize_block(application: Application, request: Any) -> Any:
        """Execute, and tell another app hash."""
        response = LyingApplication.finalize(application, request)
        response.app_hash = bytes(byte ^ 0xFF for byte in response.app_hash)
        return response


def install(lie: str) -> None:
    """Make the application of this process lie."""
    if lie == "proposals":
        Application.prepare_proposal = LyingApplication.prepare_proposal  # type: ignore
        Application.process_proposal = LyingApplication.process_proposal  # type: ignore
    elif lie == "app-hash":
        Application.finalize_block = LyingApplication.finalize_block  # type: ignore
    elif lie == "nil":
        Application.process_proposal = LyingApplication.reject_proposal  # type: ignore
    elif lie == "withhold":
        Application.extend_vote = LyingApplication.extend_vote  # type: ignore
    else:
        raise SystemExit(f"unknown lie {lie!r}")


if __name__ == "__main__":
    install(os.environ["DESCENT_TEST_LIE"])
    sys.exit(main())
