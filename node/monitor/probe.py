"""Ask a URL once: `python -m node.monitor.probe URL`; exit code 0 where it answers 200.

For health checks where neither curl nor wget is at hand.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def probe(url: str) -> str:
    """Ask; return the reason why not, empty where all is well."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read(200).decode(errors="replace")).strip() or str(error)
    except OSError as error:
        return str(error)


def main() -> int:
    """Ask the URL of the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m node.monitor.probe URL", file=sys.stderr)
        return 2
    reason = probe(sys.argv[1])
    if reason:
        print(reason, file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
