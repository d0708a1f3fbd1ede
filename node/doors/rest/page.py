"""The page that lists the routes: HTML made here, style and script in files beside it.

It loads nothing from elsewhere, and the policy it is sent with allows nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from node.doors.rest.openapi import format_path
from node.doors.rest.routes import Route

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS = {"/page.css": "text/css", "/page.js": "text/javascript"}

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} REST</title>
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
</head>
<body>
<header>
<h1>{title} <span>REST</span></h1>
<p>{count} routes of node <b>{moniker}</b>: the twins of its gRPC methods. Described in
<a href="openapi.json">openapi.json</a>. The header <code>x-cosmos-block-height</code> reads at an
earlier height.</p>
<input id="filter" type="search" placeholder="Filter, such as staking" aria-label="Filter routes">
</header>
<main>
"""
_TAIL = """</main>
</body>
</html>
"""


def load_asset(path: str) -> bytes:
    """Load one of `ASSETS`."""
    return Path(__file__).with_name(path.removeprefix("/")).read_bytes()


def build_page(routes: Sequence[Route], title: str, moniker: str) -> bytes:
    """Build the page."""
    parts = [_HEAD.format(title=escape(title), count=len(routes), moniker=escape(moniker))]
    ordered = sorted(routes, key=lambda route: (route.service, route.template))
    for service, group in groupby(ordered, key=lambda route: route.service):
        parts.append(f"<section><h2>{escape(service)}</h2>\n<ul>\n")
        parts += [build_row(route) for route in group]
        parts.append("</ul></section>\n")
    return "".join((*parts, _TAIL)).encode()


def build_row(route: Route) -> str:
    """Build the row of a route; the script adds a form to it."""
    method, path = route.http_method, escape(format_path(route.template))
    return (
        f'<li data-method="{method.lower()}" data-path="{path}"><button type="button">'
        f'<b class="{method.lower()}">{method}</b> <code>{path}</code> '
        f"<span>{escape(route.doc)}</span></button></li>\n"
    )
