"""Make the Python stubs of `proto/descent` again: `python -m proto.generate`.

cosmpy ships generated modules but no `.proto` sources, so its descriptors are handed to protoc as
a descriptor set. protoc writes imports by path from the root it is given (`descent.runs.v1`); they
are rewritten to live under the `proto` package.
"""

import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

import proto  # noqa: F401

ROOT = Path(__file__).parent
COSMOS_MODULES = (
    "cosmos.base.query.v1beta1.pagination_pb2",
    "cosmos.base.v1beta1.coin_pb2",
    "cosmos.msg.v1.msg_pb2",
    "cosmos_proto.cosmos_pb2",
    "google.api.annotations_pb2",
)


def _collect(descriptor: FileDescriptor, into: dict[str, FileDescriptor]) -> None:
    """Add a file after the files it imports: protoc wants dependencies first."""
    for dependency in descriptor.dependencies:
        _collect(dependency, into)
    into.setdefault(descriptor.name, descriptor)


def generate() -> None:
    """Write `*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` beside their sources."""
    files: dict[str, FileDescriptor] = {}
    for name in COSMOS_MODULES:
        _collect(import_module(name).DESCRIPTOR, files)
    descriptor_set = FileDescriptorSet()
    for descriptor in files.values():
        descriptor.CopyToProto(descriptor_set.file.add())
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("descent/**/*.proto"))
    with tempfile.NamedTemporaryFile(suffix=".binpb") as handle:
        handle.write(descriptor_set.SerializeToString())
        handle.flush()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"--descriptor_set_in={handle.name}",
                f"-I{ROOT}",
                f"--python_out={ROOT}",
                f"--pyi_out={ROOT}",
                f"--grpc_python_out={ROOT}",
                *sources,
            ],
            check=True,
            cwd=ROOT,
        )
    for path in ROOT.glob("descent/**/*_pb2*.py*"):
        text = path.read_text()
        path.write_text(re.sub(r"^from descent\.", "from proto.descent.", text, flags=re.M))


if __name__ == "__main__":
    generate()
