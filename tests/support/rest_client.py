"""Plain HTTP to the REST door of a node."""

import base64
import time
from typing import Any

import requests


class Rest:
    """Calls by path; `refused` expects a refusal."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        return self.http.request(method, self.url + path, timeout=30, **more)

    def get(self, path: str, **params: Any) -> Any:
        response = self.ask(path, params=params)
        assert response.status_code == 200, (path, response.status_code, response.text)
        return response.json()

    def post(self, path: str, document: Any) -> Any:
        response = self.ask(path, "POST", json=document)
        assert response.status_code == 200, (path, response.status_code, response.text)
        return response.json()

    def refused(self, path: str, method: str = "GET", **more: Any) -> tuple[int, int, str]:
        """Return HTTP status, gRPC code and text of a refusal."""
        response = self.ask(path, method, **more)
        body = response.json()
        assert set(body) == {"code", "message", "details"}, body
        return response.status_code, body["code"], body["message"]

    def broadcast(self, tx: bytes) -> str:
        """Send a transaction and wait until it is in a block; return its hash."""
        document = {"tx_bytes": base64.b64encode(tx).decode(), "mode": "BROADCAST_MODE_SYNC"}
        sent = self.post("/cosmos/tx/v1beta1/txs", document)["tx_response"]
        assert sent["code"] == 0, sent
        tx_hash: str = sent["txhash"]
        deadline = time.monotonic() + 30
        while self.ask(f"/cosmos/tx/v1beta1/txs/{tx_hash}").status_code == 404:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return tx_hash
