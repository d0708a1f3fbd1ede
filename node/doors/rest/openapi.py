"""OpenAPI 3 of the routes, from the same descriptors.

Schemas are named by the message's full name. They say what `json_form.py` writes: 64-bit integers
and big numbers are strings, bytes base64, an unset message is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field

from node.doors.rest.decimals import is_decimal, is_integer
from node.doors.rest.json_form import ANY, DURATION, TIMESTAMP, is_repeated
from node.doors.rest.routes import HTTP_STATUS, Route
from node.doors.rest.templates import parse_template

Json = dict[str, Any]
OPENAPI_VERSION = "3.0.3"
HEIGHT_HEADER = "x-cosmos-block-height"
MAX_PARAMETER_DEPTH = 3
ERROR_NAME = "Error"

_SCALARS: dict[int, Json] = {
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    Field.TYPE_INT64: {"type": "string", "format": "int64"},
    Field.TYPE_UINT64: {"type": "string", "format": "uint64"},
    Field.TYPE_BYTES: {"type": "string", "format": "byte"},
    Field.TYPE_STRING: {"type": "string"},
}
_WELL_KNOWN: dict[str, Json] = {
    TIMESTAMP: {"type": "string", "format": "date-time"},
    DURATION: {"type": "string", "example": "1814400s"},
    ANY: {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}


def build_document(routes: Sequence[Route], title: str, version: str) -> Json:
    """Build the OpenAPI document."""
    paths: dict[str, Json] = {}
    for route in routes:
        operation = build_operation(route)
        paths.setdefault(format_path(route.template), {})[route.http_method.lower()] = operation
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": title, "version": version},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({route.service for route in routes})],
        "paths": paths,
        "components": {"schemas": build_schemas(routes)},
    }


def format_path(template: str) -> str:
    """Format a path template as OpenAPI has them: fields without their patterns."""
    parts = parse_template(template)
    return "/" + "/".join(f"{{{s.text}}}" if s.is_variable else s.text for s in parts)


def build_operation(route: Route) -> Json:
    """Build the operation of a route."""
    in_path = [s.text for s in parse_template(route.template) if s.is_variable]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": build_leaf(route, name)}
        for name in in_path
    ]
    if not route.has_body:
        parameters += [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in list_parameters(route.descriptor.input_type)
            if name not in in_path
        ]
    height = {"type": "string", "format": "uint64"}
    parameters.append({"name": HEIGHT_HEADER, "in": "header", "schema": height})
    operation: Json = {
        "operationId": "_".join((*route.path[1:].split("/"), *in_path)),
        "tags": [route.service],
        "summary": route.doc,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "the answer",
                "content": build_content(build_reference(route.descriptor.output_type.full_name)),
            },
            "default": {
                "description": "a refusal, with the HTTP status of its code",
                "content": build_content(build_reference(ERROR_NAME)),
            },
        },
    }
    if route.has_body:
        schema = build_reference(route.descriptor.input_type.full_name)
        operation["requestBody"] = {"required": True, "content": build_content(schema)}
    return operation


def build_content(schema: Json) -> Json:
    """Build the content of a body in JSON."""
    return {"application/json": {"schema": schema}}


def build_reference(name: str) -> Json:
    """Build a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def build_leaf(route: Route, name: str) -> Json:
    """Build the schema of a request field that a path names."""
    return build_value(route.descriptor.input_type.fields_by_name[name])


def list_parameters(
    descriptor: Any, prefix: str = "", depth: int = 1
) -> Iterator[tuple[str, Json]]:
    """List (name, schema) of the fields that a query string can give."""
    for field in descriptor.fields:
        name = prefix + field.name
        if field.message_type is None:
            yield name, build_field(field)
        elif not is_repeated(field) and depth < MAX_PARAMETER_DEPTH:
            yield from list_parameters(field.message_type, name + ".", depth + 1)


def build_field(field: Any) -> Json:
    """Build the schema of a field."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = build_value(field.message_type.fields_by_name["value"])
        return {"type": "object", "additionalProperties": value}
    if is_repeated(field):
        return {"type": "array", "items": build_value(field)}
    return build_value(field)


def build_value(field: Any) -> Json:
    """Build the schema of one value of a field."""
    if field.message_type is not None:
        known = _WELL_KNOWN.get(field.message_type.full_name)
        return known or build_reference(field.message_type.full_name)
    if is_decimal(field):
        return {"type": "string", "example": "0.100000000000000000"}
    if is_integer(field):
        return {"type": "string", "example": "1000000"}
    if field.type == Field.TYPE_ENUM:
        names = [value.name for value in field.enum_type.values]
        return {"type": "string", "enum": names}
    return _SCALARS.get(field.type, {"type": "string"})


def collect_messages(roots: Iterable[Any]) -> dict[str, Any]:
    """Collect the descriptors reached from some, by full name; well-known types left out."""
    found: dict[str, Any] = {}
    waiting = list(roots)
    while waiting:
        descriptor = waiting.pop()
        name = descriptor.full_name
        if name in found or name in _WELL_KNOWN:
            continue
        if not descriptor.GetOptions().map_entry:
            found[name] = descriptor
        waiting.extend(field.message_type for field in descriptor.fields if field.message_type)
    return found


def build_schemas(routes: Iterable[Route]) -> dict[str, Json]:
    """Build the schemas of every message in requests by body and in answers."""
    roots = []
    for route in routes:
        roots.append(route.descriptor.output_type)
        if route.has_body:
            roots.append(route.descriptor.input_type)
    schemas: dict[str, Json] = {
        name: {
            "type": "object",
            "properties": {field.name: build_field(field) for field in descriptor.fields},
        }
        for name, descriptor in sorted(collect_messages(roots).items())
    }
    codes = ", ".join(f"{code.value[0]} {code.name}" for code in HTTP_STATUS)
    schemas[ERROR_NAME] = {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": codes},
            "message": {"type": "string"},
            "details": {"type": "array", "items": _WELL_KNOWN[ANY]},
        },
    }
    return schemas
