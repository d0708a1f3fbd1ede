"""What can go wrong for a miner or a validator.

ParticipantError
|-- CheckpointUnavailable   no peer serves the checkpoint the chain names
|-- InitialRootMismatch     this machine makes other first weights than the spec says
`-- DatasetUnavailable      the run's dataset is neither here nor at a peer
"""


class ParticipantError(Exception):
    """Base of what stops a participant; the text says what to do."""


class CheckpointUnavailable(ParticipantError):
    """No peer that answers has the checkpoint; tried again every few blocks."""


class InitialRootMismatch(ParticipantError):
    """The spec's seed gives other weights here."""


class DatasetUnavailable(ParticipantError):
    """The run's dataset is neither here nor at a peer."""
