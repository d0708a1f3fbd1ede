"""gRPC reflection under both of its names: `v1`, which new tools ask first, and `v1alpha`.

The library has v1alpha; v1 is the same messages in another package, so one servicer answers both.
Source: grpc/reflection/v1/reflection.proto.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

OLD_PACKAGE, PACKAGE = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICE_NAMES = (reflection.SERVICE_NAME, f"{PACKAGE}.ServerReflection")


def add_descriptor() -> None:
    """Add the file of v1 to the pool, so that reflection can describe itself."""
    pool = descriptor_pool.Default()
    name = "grpc/reflection/v1/reflection.proto"
    try:
        pool.FindFileByName(name)
    except KeyError:
        copy = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(copy)
        copy.name, copy.package = name, PACKAGE
        copy.ClearField("options")
        for message in copy.message_type:
            for field in filter(lambda field: field.type_name, message.field):
                field.type_name = field.type_name.replace(OLD_PACKAGE, PACKAGE)
        for method in copy.service[0].method:
            method.input_type = method.input_type.replace(OLD_PACKAGE, PACKAGE)
            method.output_type = method.output_type.replace(OLD_PACKAGE, PACKAGE)
        pool.Add(copy)


def build_handlers(service_names: Iterable[str]) -> list[Any]:
    """Build the handlers of both services; `service_names` is what they list beside themselves."""
    add_descriptor()
    servicer = ReflectionServicer([*service_names, *SERVICE_NAMES])
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        for name in SERVICE_NAMES
    ]
