"""Metadata from the pallets' declarations.

`golden_metadata.txt` is what clients see, for people. When a pallet changes on purpose, write it
again with `python -m tests.doors.substrate.test_substrate_metadata`, read the difference, and raise
`SPEC_VERSION` with it, because clients keep metadata by that number.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

import proto  # noqa: F401
from node.chain import build_chain
from node.doors.substrate.facade import RuntimeApi
from node.doors.substrate.metadata import V14, V15, Metadata
from node.doors.substrate.registry import Registry, format_type
from node.runtime.pallet import Pallet
from node.runtime.runtime import Runtime, RuntimeConflict
from node.runtime.storage import Schema
from node.runtime.substrate.scale import Case, Composite, Field, Sequence, Type, Variant

GOLDEN = Path(__file__).with_name("golden_metadata.txt")


def render_fields(fields: tuple[Field, ...]) -> str:
    return ", ".join(
        f"{item.name}: {format_type(item.type)}" if item.name else format_type(item.type)
        for item in fields
    )


def render_cases(kind: str, made: Variant | None) -> list[str]:
    lines = []
    for case in made.cases if made else []:
        if not case.name.startswith("Unused"):
            lines.append(f"  {kind} {case.index} {case.name}({render_fields(case.fields)})")
    return lines


def render_api(name: str, api: RuntimeApi) -> str:
    inputs = ", ".join(f"{label}: {format_type(made)}" for label, made in api.inputs)
    return f"api {name}_{api.name}({inputs}) -> {format_type(api.output)}"


def render_metadata() -> str:
    metadata = Metadata(build_chain())
    lines = []
    for pallet in metadata.pallets:
        lines.append(f"{pallet.index} {pallet.name}")
        for entry in pallet.entries:
            keys = ", ".join(f"{p.hasher.name} {format_type(p.type)}" for p in entry.keys)
            default = "" if entry.default is None else f" = {entry.default.hex()}"
            value = format_type(entry.value)
            lines.append(f"  storage {entry.name}({keys}): {value}{default}")
        lines += render_cases("call", pallet.calls)
        lines += render_cases("event", pallet.event)
        lines += render_cases("error", pallet.error)
        lines += [f"  constant {c.name} = {c.encode().hex()}" for c in pallet.constants]
    lines += [render_api(name, api) for name, apis in metadata.apis.items() for api in apis]
    registry = Registry()
    for entry in metadata.entries:
        registry.add(entry.value)
    for outer in (metadata.types.call, metadata.types.event):
        registry.add(outer)
    shown = [t for t in registry.structures if isinstance(t, Composite) and len(t.fields) > 1]
    for made in sorted(shown, key=lambda item: item.path):
        lines.append(f"type {'::'.join(made.path)} {{ {render_fields(made.fields)} }}")
    return "\n".join(lines) + "\n"


def decode(metadata: Metadata, version: int) -> tuple[RuntimeConfigurationObject, object]:
    config = RuntimeConfigurationObject()
    for preset in ("legacy", "core"):
        config.update_type_registry(load_type_registry_preset(preset))
    data = ScaleBytes(metadata.encode(version))
    decoded = config.create_scale_object("MetadataVersioned", data=data)
    decoded.decode()
    assert data.get_remaining_length() == 0
    config.add_portable_registry(decoded)
    return config, decoded


@pytest.fixture(scope="module")
def metadata() -> Metadata:
    return Metadata(build_chain())


def test_golden() -> None:
    assert render_metadata() == GOLDEN.read_text()


def test_decoded_by_the_client(metadata: Metadata) -> None:
    _, decoded = decode(metadata, V14)
    names = [pallet.name for pallet in decoded.pallets]
    assert names == [pallet.name for pallet in metadata.pallets]
    types = decoded.portable_registry.value["types"]
    assert [item["id"] for item in types] == list(range(len(types)))
    assert types[0]["type"]["path"] == ["sp_core", "crypto", "AccountId32"]
    bank = decoded.get_metadata_pallet("Bank")
    assert [call.name for call in bank.calls][:2] == ["send", "multi_send"]
    assert [error.name for error in bank.errors][2] == "NoInputs"
    assert bank.errors[2].docs == ["no inputs to send transaction"]
    assert bank.get_storage_function("Balances").get_param_hashers() == [
        "Blake2_128Concat",
        "Blake2_128Concat",
    ]


def test_every_type_of_metadata_can_be_used(metadata: Metadata) -> None:
    config, decoded = decode(metadata, V14)
    for item in decoded.portable_registry.value["types"]:
        assert config.get_decoder_class(f"scale_info::{item['id']}") is not None


def test_same_bytes_every_time(metadata: Metadata) -> None:
    again = Metadata(build_chain())
    for version in (V14, V15):
        assert metadata.encode(version) == again.encode(version)


def test_a_new_pallet_needs_no_line_here() -> None:
    class ExtraPallet(Pallet[Schema]):
        """A pallet nobody has heard of."""

        name = "extra"
        schema = Schema

    @dataclass(frozen=True)
    class Grown:
        runtime: Runtime
        others: ClassVar[object] = build_chain()

        def __getattr__(self, name: str) -> object:
            return getattr(self.others, name)

    chain = build_chain()
    runtime = Runtime([*chain.runtime.pallets.values(), ExtraPallet()])
    grown = Metadata(Grown(runtime))  # type: ignore[arg-type]
    assert grown.pallets[-1].name == "Extra"
    _, decoded = decode(grown, V14)
    assert decoded.get_metadata_pallet("Extra") is not None


def test_invalid_pallet_index_taken_twice() -> None:
    class Clash(Pallet[Schema]):
        name = "clash"
        index = 12
        schema = Schema

    with pytest.raises(RuntimeConflict, match="pallet index 12 is taken"):
        Runtime([*build_chain().runtime.pallets.values(), Clash()])


def test_every_pallet_declares_its_index() -> None:
    indexes = [pallet.index for pallet in build_chain().runtime.pallets.values()]
    assert all(indexes), "give a new pallet an `index` of its own"


def test_a_type_is_one_type_wherever_it_is() -> None:
    registry = Registry()
    inner: Type = Composite(("a", "B"), [Field("x", Sequence(Variant(("c", "D"), [Case("E", 0)])))])
    first = registry.add(Sequence(inner))
    assert registry.add(Sequence(inner)) == first
    assert registry.add(Composite(("a", "B"), ())) == registry.add(inner)


if __name__ == "__main__":
    GOLDEN.write_text(render_metadata())
