"""Errors of exact training.

ExactError
  InvalidStep        a NaN or an infinity appeared: the step has no result
  InvalidState       a state, or its bytes, breaks the canonical form
  OutOfMemory        a step does not fit into memory; the text says what would take less
  InvalidProof       a Merkle opening does not lead to the root
  InvalidModel       a model or optimiser config outside its bounds
  InvalidWeights     a file of weights does not hold the model; the text names the tensor
  UnfaithfulDevice   this device does not reproduce the published golden trace
"""


class ExactError(Exception):
    """Base of every refusal in `exact/`."""


class InvalidStep(ExactError):
    """A NaN or an infinity appeared in a training step, so the step has no result."""


class InvalidState(ExactError):
    """A state or its serialised bytes break the canonical form; the message says where."""


class OutOfMemory(ExactError):
    """A training step does not fit into memory; the message says what would take less."""


class InvalidProof(ExactError):
    """A Merkle opening does not lead from the leaf to the root."""


class InvalidModel(ExactError):
    """A model or optimiser config is outside its bounds; the message names the field."""


class InvalidWeights(ExactError):
    """A file of weights does not hold the wanted model; the message names the file or tensor."""


class UnfaithfulDevice(ExactError):
    """This device does not reproduce the golden trace and must not train for a run."""
