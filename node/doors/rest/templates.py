"""Path templates of `google.api.http`, and a tree that finds the one a path fits.

A template is segments between slashes: a literal, `{field}` for one segment, and `{field=**}` for
all that are left. Where several fit, a literal comes before a field, and a field before the rest.
Source: google/api/http.proto.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

MAX_SEGMENTS = 32
REST = "**"

_VARIABLE = re.compile(r"\{([a-z0-9_.]+)(?:=(\*|\*\*))?\}\Z")
_LITERAL = re.compile(r"[A-Za-z0-9_.~-]+\Z")

Target = TypeVar("Target")
Values = dict[str, str]


class TemplateError(ValueError):
    """A path template of another kind than those above, or two methods with one template."""


class PathError(ValueError):
    """A path that is not UTF-8."""


@dataclass(frozen=True)
class Segment:
    """A piece of a template: the literal, or the name of the field it fills."""

    text: str
    is_variable: bool = False
    is_rest: bool = False


def parse_template(text: str) -> tuple[Segment, ...]:
    """Parse a template.

    Raises:
        TemplateError: not of the kinds this module knows.
    """
    segments: list[Segment] = []
    for part in text.removeprefix("/").split("/"):
        match = _VARIABLE.match(part)
        if match is not None:
            segments.append(Segment(match[1], True, match[2] == REST))
        elif _LITERAL.match(part):
            segments.append(Segment(part))
        else:
            raise TemplateError(f"{text!r}: {part!r} is neither a name nor a field")
    if not text.startswith("/") or any(segment.is_rest for segment in segments[:-1]):
        raise TemplateError(f"{text!r} does not start with a slash or goes on after **")
    return tuple(segments)


def split_path(raw: bytes) -> list[str]:
    """Split the raw path of a request; escapes are resolved within a segment.

    Raises:
        PathError: not UTF-8.
    """
    try:
        return [unquote_to_bytes(part).decode() for part in raw.removeprefix(b"/").split(b"/")]
    except UnicodeDecodeError:
        raise PathError("the path is not UTF-8") from None


@dataclass
class _Node(Generic[Target]):
    """What may follow a beginning of a path; `targets` end here, by HTTP method."""

    literals: dict[str, _Node[Target]] = field(default_factory=dict)
    variable: _Node[Target] | None = None
    rest: _Node[Target] | None = None
    targets: dict[str, tuple[Target, tuple[str, ...]]] = field(default_factory=dict)


class PathTree(Generic[Target]):
    """Targets by HTTP method and template."""

    def __init__(self) -> None:
        self._root: _Node[Target] = _Node()

    def add(self, method: str, template: str, target: Target) -> None:
        """Add a target.

        Raises:
            TemplateError: the template cannot be read, or is taken for the method.
        """
        node, names = self._root, []
        for segment in parse_template(template):
            if not segment.is_variable:
                node = node.literals.setdefault(segment.text, _Node())
                continue
            names.append(segment.text)
            if segment.is_rest:
                node.rest = node.rest or _Node()
                node = node.rest
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        if method in node.targets:
            raise TemplateError(f"two methods at {method} {template}")
        node.targets[method] = (target, tuple(names))

    def find(self, method: str, segments: list[str]) -> tuple[Target, Values] | None:
        """Find the target of a path, with the texts of its fields."""
        found = self._search(self._root, method, segments[:MAX_SEGMENTS], [])
        if found is None or len(segments) > MAX_SEGMENTS:
            return None
        (target, names), texts = found
        return target, dict(zip(names, texts, strict=True))

    def list_methods(self, segments: list[str]) -> list[str]:
        """List the HTTP methods a path has."""
        return [method for method in ("GET", "POST") if self.find(method, segments) is not None]

    def _search(
        self, node: _Node[Target], method: str, segments: list[str], texts: list[str]
    ) -> tuple[tuple[Target, tuple[str, ...]], list[str]] | None:
        if not segments:
            return (node.targets[method], texts) if method in node.targets else None
        head, tail = segments[0], segments[1:]
        found = None
        if head in node.literals:
            found = self._search(node.literals[head], method, tail, texts)
        if found is None and node.variable is not None and head:
            found = self._search(node.variable, method, tail, [*texts, head])
        if found is None and node.rest is not None and method in node.rest.targets:
            found = (node.rest.targets[method], [*texts, "/".join(segments)])
        return found
