"""Plain HTTP to the REST door of a node."""

from typing import Any

import requests

from tests.support.devnet_node import DevnetNode


class Rest:
    """Calls by path; `refused` expects a refusal."""

    def __init__(self, node: DevnetNode) -> None:
        self.url = f"http://127.0.0.1:{node.rest_port}"
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        return self.http.request(method, self.url + path, timeout=15, **more)

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
