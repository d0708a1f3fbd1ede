"""First weights that no seed makes: kept on a machine by their root, until a peer asks.

<data>/weights/<root>.safetensors    canonical bytes of the `param/` tensors
"""

import os
import tempfile
from pathlib import Path

from exact.errors import InvalidState
from exact.state import Layout, State, checkpoint_root, deserialise, serialise

WEIGHTS_DIR = "weights"


def keep_weights(directory: Path, params: State) -> bytes:
    """Store first weights.

    Args:
        directory: where packed datasets live too.
        params: `param/` tensors.

    Returns:
        Their root.
    """
    root = checkpoint_root(params)
    path = _get_path(directory, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(serialise(params))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    return root


def find_weights(directory: Path, root: bytes, layout: Layout) -> State | None:
    """Return stored first weights, or None when they are not here or damaged.

    Args:
        directory: as for `keep_weights`.
        root: that they must have.
        layout: that they must have.
    """
    try:
        params = deserialise(_get_path(directory, root).read_bytes(), layout)
    except (OSError, InvalidState):
        return None
    return params if checkpoint_root(params) == root else None


def _get_path(directory: Path, root: bytes) -> Path:
    return directory / WEIGHTS_DIR / f"{root.hex()}.safetensors"
