"""Path templates, and the tree that finds them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.doors.rest.templates import (
    MAX_SEGMENTS,
    PathError,
    PathTree,
    Segment,
    TemplateError,
    parse_template,
    split_path,
)


@pytest.fixture
def tree() -> PathTree[str]:
    built: PathTree[str] = PathTree()
    built.add("GET", "/a/{x}", "one")
    built.add("GET", "/a/latest", "latest")
    built.add("GET", "/a/{x}/by/{y}", "two")
    built.add("GET", "/a/{x}/{z=**}", "rest")
    built.add("POST", "/a/{x}", "posted")
    built.add("GET", "/d/{denom=**}", "denom")
    return built


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a/latest", ("latest", {})),
        ("/a/other", ("one", {"x": "other"})),
        ("/a/1/by/2", ("two", {"x": "1", "y": "2"})),
        ("/a/latest/by/2", ("two", {"x": "latest", "y": "2"})),
        ("/a/1/by", ("rest", {"x": "1", "z": "by"})),
        ("/a/1/by/2/3", ("rest", {"x": "1", "z": "by/2/3"})),
        ("/a/x%2Fy", ("one", {"x": "x/y"})),
        ("/d/ibc/AB", ("denom", {"denom": "ibc/AB"})),
        ("/d/ibc%2FAB", ("denom", {"denom": "ibc/AB"})),
        ("/a", None),
        ("/a/", None),
        ("/", None),
        ("/b/1", None),
    ],
)
def test_find(tree: PathTree[str], path: str, found: object) -> None:
    assert tree.find("GET", split_path(path.encode())) == found


def test_methods(tree: PathTree[str]) -> None:
    assert tree.find("POST", ["a", "1"]) == ("posted", {"x": "1"})
    assert tree.list_methods(["a", "1"]) == ["GET", "POST"]
    assert tree.list_methods(["a", "latest", "by", "2"]) == ["GET"]
    assert not tree.list_methods(["nothing"])


def test_a_long_path_is_no_route(tree: PathTree[str]) -> None:
    assert tree.find("GET", ["d", *["x"] * MAX_SEGMENTS]) is None


def test_one_template_once(tree: PathTree[str]) -> None:
    with pytest.raises(TemplateError):
        tree.add("GET", "/a/{another}", "clash")


@pytest.mark.parametrize("text", ["a", "/{x=**}/b", "/a/{x=foo/*}", "/a:verb", "/a//b", "/{X}"])
def test_invalid_template(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


def test_segments() -> None:
    assert parse_template("/v1/{a.b}/{c=**}") == (
        Segment("v1"),
        Segment("a.b", True),
        Segment("c", True, True),
    )


def test_path_that_is_no_text() -> None:
    with pytest.raises(PathError):
        split_path(b"/a/%ff")


@given(st.binary(max_size=80))
def test_any_path(raw: bytes) -> None:
    tree: PathTree[str] = PathTree()
    tree.add("GET", "/{x}/{y=**}", "all")
    try:
        segments = split_path(b"/" + raw)
    except PathError:
        return
    found = tree.find("GET", segments)
    assert (found is None) == (len(segments) < 2 or len(segments) > MAX_SEGMENTS or not segments[0])
