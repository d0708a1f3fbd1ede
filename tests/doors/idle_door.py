"""A door that listens and does nothing: what the supervisor's tests run."""

import argparse
import socket
import sys
import threading

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
arguments, _ = parser.parse_known_args()

with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", arguments.port))
    listener.listen()
    threading.Thread(
        target=lambda: [listener.accept()[0].close() for _ in iter(int, 1)], daemon=True
    ).start()
    sys.stdin.buffer.read()
