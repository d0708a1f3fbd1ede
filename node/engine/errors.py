"""Errors of the engine.

EngineError
  GenesisInvalid        the genesis file is not usable
  KeyFileInvalid        a key file is not usable
  HomeMismatch          the data folder belongs to another chain or another genesis
  HandshakeFailed       the application's state and the kept blocks do not fit together
  ApplicationBroken     the application broke a rule of ABCI
  NotEnoughPower        this node alone does not hold two thirds of the consensus power
  TxRefused             the mempool does not take a transaction
  EngineUnreachable     nothing listens on the engine's control socket
  EngineMissing         there is no CometBFT here
  EngineStopped         CometBFT ended
"""


class EngineError(Exception):
    """The engine cannot go on."""


class GenesisInvalid(EngineError):
    """The genesis file is not usable."""


class KeyFileInvalid(EngineError):
    """A key file is not usable."""


class HomeMismatch(EngineError):
    """The data folder belongs to another chain: use another home, or remove its data folder."""


class HandshakeFailed(EngineError):
    """State and blocks do not fit: restore the data folder or start again from genesis."""


class ApplicationBroken(EngineError):
    """The application answered what ABCI does not allow; this is a bug."""


class NotEnoughPower(EngineError):
    """The embedded engine needs more than two thirds of the consensus power in its own key."""


class TxRefused(EngineError):
    """The mempool does not take a transaction.

    code: number of codespace `sdk` that Cosmos clients know: 19 already there, 20 mempool full,
        21 too large.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class EngineUnreachable(EngineError):
    """Nothing listens on the engine's control socket: is the node running?"""


class EngineMissing(EngineError):
    """There is no CometBFT here: `make cometbft` builds it."""


class EngineStopped(EngineError):
    """CometBFT ended; its own last lines are in the node's log."""
