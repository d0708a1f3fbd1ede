"""A command that the kernel kills when the process that started it dies (Linux).

    python tied.py PARENT_PID COMMAND [ARGUMENT ...]

Run as a script, which imports nothing of this package and becomes the command. It stands in place
of a `preexec_fn`, which runs between fork and exec, where threads of the process it was forked from
are missing: with gRPC in that process it ends in an abort now and then (docs/log.md, 2026-11-22).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:  # else it died before the kernel was told
        os.execv(command[0], command)


if __name__ == "__main__":
    main()
