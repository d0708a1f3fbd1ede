"""Run specifications from TOML: strict about names, defaults from `spec_default.toml`.

```
spec = load_spec(Path("spec.toml"), datasets_dir=home / "data")
raw = encode_spec(spec)                    # canonical bytes, what MsgCreateRun carries
```

The roots of dataset and first checkpoint are computed here, so that nobody has to copy hashes.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from cli.output import CommandFailed
from proto.descent.runs.v1 import runs_pb2

if TYPE_CHECKING:
    from exact.data.pack import Dataset

DEFAULTS_FILE = Path(__file__).with_name("spec_default.toml")
DATASETS_DIR = Path("~/.descent/data")
INIT_FIELD = "init"  # folder of first weights, not part of the specification
DIRECTORY_FIELD = "directory"  # of [data]; where the text is, not part of the specification
_COMPUTED = ("dataset_root", "num_train_bytes", "num_heldout_bytes")
_UINT_LIMITS = {FieldDescriptor.TYPE_UINT32: 2**32, FieldDescriptor.TYPE_UINT64: 2**64}
INIT_BYTES_PER_PARAM = 8  # the weights, and as much again while they are made


class InvalidSpec(CommandFailed):
    """A specification file that cannot be right; the message names file and field."""


def load_spec(
    source: Path | str | Mapping[str, Any], *, datasets_dir: Path = DATASETS_DIR
) -> runs_pb2.RunSpec:
    """Return a complete specification.

    Args:
        source: a TOML file, or its content as a mapping; whatever it leaves out has its default.
        datasets_dir: where the packed text is kept, one folder a root.

    Raises:
        InvalidSpec: unreadable, not TOML, an unknown field, a value of the wrong type, a model out
            of bounds, or no text to train on.
    """
    base = Path()
    name = "the specification"
    if isinstance(source, Mapping):
        given: Mapping[str, Any] = source
    else:
        path = Path(source)
        base, name = path.parent, str(path)
        given = _read_toml(path)
    init = given.get(INIT_FIELD)
    if init is not None:
        given = _read_init(given, base, name)
    document = merge(read_defaults(), given, where=name)
    directory = document["data"].pop(DIRECTORY_FIELD, None)
    spec = runs_pb2.RunSpec()
    _fill(spec, document, where=name, path="")
    from exact.errors import ExactError

    try:
        if not spec.data.dataset_root:
            fill_dataset(spec, build_dataset(base / directory if directory else None, datasets_dir))
        _ensure_dataset(spec, name)
        if init is not None:
            import_weights(spec, base / str(init), datasets_dir)
        elif not spec.initial_root:
            spec.initial_root = compute_initial_root(spec)
    except ExactError as error:
        raise InvalidSpec(f"{name}: {error}") from error
    return spec


def default_devnet_spec(
    *,
    datasets_dir: Path = DATASETS_DIR,
    dataset_dir: Path | None = None,
    num_miners: int = 3,
    num_validators: int = 2,
    overrides: Mapping[str, Any] | None = None,
) -> runs_pb2.RunSpec:
    """Return the specification a devnet trains: the defaults, started once all have registered.

    Args:
        dataset_dir: own text, None for Python's standard library.
        overrides: anything a spec file may say.

    Raises:
        InvalidSpec: see `load_spec`.
    """
    document: dict[str, Any] = {
        "name": "devnet",
        "membership": {"min_miners": num_miners, "min_validators": num_validators},
    }
    if dataset_dir is not None:
        document["data"] = {DIRECTORY_FIELD: str(dataset_dir.absolute())}
    for key, value in (overrides or {}).items():
        is_section = isinstance(value, Mapping) and isinstance(document.get(key), Mapping)
        document[key] = {**document[key], **value} if is_section else value
    return load_spec(document, datasets_dir=datasets_dir)


def encode_spec(spec: runs_pb2.RunSpec) -> bytes:
    """Return the canonical bytes; their SHA-256 is the hash of the specification."""
    return bytes(spec.SerializeToString(deterministic=True))


def read_defaults() -> dict[str, Any]:
    """Return the content of `spec_default.toml`."""
    return tomllib.loads(DEFAULTS_FILE.read_text())


def merge(defaults: dict[str, Any], given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Lay what is given over the defaults, refusing names a specification does not have.

    Raises:
        InvalidSpec: an unknown field or section, with the closest one that exists.
    """
    merged = dict(defaults)
    _ensure_known(runs_pb2.RunSpec.DESCRIPTOR, given, where=where, path="")
    for key, value in given.items():
        is_section = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if is_section else value
    return merged


def build_dataset(directory: Path | None, datasets_dir: Path) -> "Dataset":
    """Pack the text of a directory, or of Python's standard library; reuse a pack that is there.

    Raises:
        DataError: no text, or no room for the pack.
    """
    from exact.data import corpus, pack

    if directory is None:
        files = corpus.collect_stdlib_files()
    else:
        files = corpus.collect_directory_files(directory)
    return pack.build_dataset(files, datasets_dir.expanduser())


def fill_dataset(spec: runs_pb2.RunSpec, dataset: "Dataset") -> None:
    """Write root and sizes of a dataset into a specification."""
    spec.data.dataset_root = dataset.root
    spec.data.num_train_bytes = len(dataset.train)
    spec.data.num_heldout_bytes = len(dataset.heldout)


def import_weights(spec: runs_pb2.RunSpec, folder: Path, datasets_dir: Path) -> None:
    """Make a Llama folder's weights the first checkpoint, and keep them for who asks.

    Raises:
        InvalidWeights: a file, or a tensor's shape, dtype or hash, is wrong; the text names it.
        InvalidModel: the model is out of bounds.
    """
    from exact.config import ModelConfig
    from exact.data.weights import keep_weights
    from exact.errors import InvalidWeights
    from exact.huggingface import read_weights

    params = read_weights(folder, ModelConfig.from_spec(spec))
    root = keep_weights(datasets_dir.expanduser(), params)
    if spec.initial_root not in (b"", root):
        raise InvalidWeights(
            f"the weights in {folder} have root {root.hex()}, initial_root is "
            f"{spec.initial_root.hex()}"
        )
    spec.initial_root = root
    spec.imported_weights = True


def _read_init(given: Mapping[str, Any], base: Path, where: str) -> dict[str, Any]:
    """Fill [model] from the config of the folder of first weights."""
    from exact.errors import ExactError
    from exact.huggingface import read_config

    rest = {name: value for name, value in given.items() if name != INIT_FIELD}
    if not isinstance(given[INIT_FIELD], str):
        raise InvalidSpec(f"{where}: init = {given[INIT_FIELD]!r} is not a folder")
    if "parent" in rest:
        raise InvalidSpec(f"{where}: init and [parent] both give the first weights")
    try:
        fields = read_config(base / given[INIT_FIELD])
    except ExactError as error:
        raise InvalidSpec(f"{where}: {error}") from error
    model = rest.get("model", {})
    for name, value in fields.items():
        if isinstance(model, Mapping) and model.get(name, value) != value:
            raise InvalidSpec(
                f"{where}: model.{name} = {model[name]!r}, the folder's config.json has {value!r}",
                hint=f"leave model.{name} out",
            )
    rest["model"] = {**fields, **model} if isinstance(model, Mapping) else model
    return rest


def compute_initial_root(spec: runs_pb2.RunSpec) -> bytes:
    """Return the root of the first checkpoint: the parent's, or of weights made from the seed.

    Raises:
        InvalidModel: the model is out of bounds, or too large for a chain or for this machine.
    """
    if spec.HasField("parent"):
        return bytes(spec.parent.root)
    from exact.config import ModelConfig
    from exact.families import init_params
    from exact.state import checkpoint_root

    config = ModelConfig.from_spec(spec)
    _ensure_fits(spec)
    return checkpoint_root(init_params(config, spec.init_seed))


def _ensure_fits(spec: runs_pb2.RunSpec) -> None:
    """Refuse a model before its weights are made: a chain would do so only after."""
    import psutil

    from exact.errors import InvalidModel
    from node.pallets.runs.spec import compute_num_model_params
    from node.pallets.runs.types import RunsParams

    num_params, limit = compute_num_model_params(spec.model), RunsParams().max_model_params
    if num_params > limit:
        raise InvalidModel(f"the model has {num_params} parameters, the limit is {limit}")
    needed, free = INIT_BYTES_PER_PARAM * num_params, psutil.virtual_memory().available
    if needed > free:
        raise InvalidModel(
            f"the first weights of {num_params} parameters need {needed >> 20} MiB of memory, "
            f"{free >> 20} MiB are free here"
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidSpec(
            f"cannot read {path}: {error.strerror}", hint="`descent run template` prints one"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSpec(f"{path} is not TOML: {error}") from None


def _ensure_known(descriptor: Any, given: Mapping[str, Any], *, where: str, path: str) -> None:
    names = [field.name for field in descriptor.fields]
    if path == "data.":
        names.append(DIRECTORY_FIELD)
    for key, value in given.items():
        if key not in names:
            close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
            raise InvalidSpec(
                f"{where}: unknown field {path}{key}",
                hint=f"did you mean {path}{close[0]}?" if close else f"known: {', '.join(names)}",
            )
        field = descriptor.fields_by_name.get(key)
        is_section = field is not None and field.message_type is not None
        if is_section != isinstance(value, Mapping):
            kind = "a section" if is_section else "a value"
            raise InvalidSpec(f"{where}: {path}{key} is {kind}")
        if is_section:
            _ensure_known(field.message_type, value, where=where, path=f"{path}{key}.")


def _fill(message: Any, document: Mapping[str, Any], *, where: str, path: str) -> None:
    for key, value in document.items():
        field = message.DESCRIPTOR.fields_by_name[key]
        if field.message_type is not None:
            part = getattr(message, key)
            part.SetInParent()
            _fill(part, value, where=where, path=f"{path}{key}.")
        else:
            setattr(message, key, _to_value(field, value, f"{where}: {path}{key}"))


def _to_value(field: Any, value: Any, name: str) -> Any:
    if field.type in _UINT_LIMITS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidSpec(f"{name} = {value!r} is not a whole number", hint=_hint_unit(field))
        if not 0 <= value < _UINT_LIMITS[field.type]:
            raise InvalidSpec(f"{name} = {value} is not in 0..{_UINT_LIMITS[field.type] - 1}")
        return value
    if field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise InvalidSpec(f"{name} = {value!r} is neither true nor false")
        return value
    if not isinstance(value, str):
        raise InvalidSpec(f"{name} = {value!r} is not a string")
    if field.type == FieldDescriptor.TYPE_BYTES:
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise InvalidSpec(f"{name} = {value!r} is not hexadecimal") from None
    if field.enum_type is not None:
        from cli.messages import enum_word

        words = {enum_word(field.enum_type, n): n for n in field.enum_type.values_by_number if n}
        if value not in words:
            raise InvalidSpec(f"{name} = {value!r} is not one of {', '.join(words)}")
        return words[value]
    return value


def _hint_unit(field: Any) -> str:
    for suffix, unit in (("_ppb", "10^9"), ("_ppm", "10^6"), ("_u16", "65535")):
        if field.name.endswith(suffix):
            return f"{field.name} counts parts per {unit}"
    return ""


def _ensure_dataset(spec: runs_pb2.RunSpec, where: str) -> None:
    missing = [name for name in _COMPUTED if not getattr(spec.data, name)]
    if missing:
        raise InvalidSpec(
            f"{where}: data.{missing[0]} is missing",
            hint="give all of " + ", ".join(_COMPUTED) + ", or none to have them computed",
        )
