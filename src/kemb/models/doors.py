"""Doors: any Python object that embeds, retrieves or reranks, described so that it can be a model.

    kemb.encoder(f)      f(texts) -> [n, dim], or an object with `encode`
    kemb.retriever(f)    f(queries, k) -> ids and scores per query
    kemb.reranker(f)     f(query, documents) -> a score per document

`python:package.module:object` names such an object on the command line. What the object is and
where it comes from is told here; `kemb.models.objects` makes a model of it.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any, Literal, NamedTuple

from kemb.errors import UsageError
from kemb.models.families import Similarity

PYTHON = "python:"
"""Before the full name of an object on the command line."""
SIMILARITIES: tuple[Similarity, ...] = ("cosine", "dot", "euclidean", "manhattan")
BATCH_SIZE = 64
DEPTH = 100

DoorKind = Literal["encoder", "retriever", "reranker", "run"]
HowKnown = Literal["revision", "distribution", "weights", "content", "none"]
_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_REVISION = re.compile(r"\w[\w.+-]{0,63}")
_REFERENCE = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<object>[^\W\d]\w*(\.\w+)*)")


class Origin(NamedTuple):
    """The installed distribution that an object's code comes from."""

    distribution: str
    version: str
    sha256: str
    """Of the names and hashes of its files."""


class Identity(NamedTuple):
    """By what an object is told from others."""

    how: HowKnown
    origin: Origin | None = None
    probe: str = ""
    """Hash of what it answers on a few texts; '' where it was not asked."""


UNKNOWN = Identity("none")


@dataclass(frozen=True, slots=True)
class Door:
    """An object as its owner describes it."""

    kind: DoorKind
    value: Any = field(compare=False, repr=False)
    name: str
    revision: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict, compare=False)
    similarity: Similarity | None = None
    """As stated; None where nobody did."""
    batch_size: int = BATCH_SIZE
    reference: str = ""
    """`python:package.module:object`, or the entry point, where the object was named so."""
    first: str = ""
    """Of a reranker: the model that finds the documents it puts in order."""
    depth: int = DEPTH
    identity: Identity = UNKNOWN

    @property
    def is_scratch(self) -> bool:
        """Whether nothing tells the object from others, so that nothing of it may be kept."""
        return self.identity.how == "none"


def encoder(
    value: Any,  # noqa: ANN401  any object
    *,
    name: str = "",
    revision: str = "",
    prompts: Mapping[str, str] | None = None,
    similarity: Similarity | None = None,
    batch_size: int = BATCH_SIZE,
) -> Door:
    """A function or an object that embeds, as a model.

    :param value: a function from a list of n texts to [n, dim] numbers (NumPy, torch, lists); or an
        object with `encode`, or with `encode_query` and `encode_document`.
    :param name: of its row; by default the name of the function or the class.
    :param revision: what tells this state of it from others; change it when the vectors change.
        Without one the hash of the installed distribution that the object comes from stands for it;
        without either its vectors are kept nowhere and its rows are marked [scratch].
    :param prompts: literal text put before, by key: query, document, a task type or a task
        (docs/prompts.md).
    :param similarity: cosine, dot, euclidean or manhattan; by default that of the object's own
        configuration, else cosine.
    :param batch_size: most texts of one call.
    :raises UsageError: an object that cannot embed, or an argument of a wrong type.
    """
    if similarity is not None and similarity not in SIMILARITIES:
        raise UsageError(
            f"similarity={similarity!r} is not known; type one of {', '.join(SIMILARITIES)}."
        )
    if not isinstance(prompts or {}, Mapping) or not all(
        isinstance(part, str) for pair in (prompts or {}).items() for part in pair
    ):
        raise UsageError(
            f"prompts= takes a table of texts such as {{'query': '질문: '}}, not {prompts!r:.80}."
        )
    if isinstance(value, type):
        raise UsageError(
            f"{value.__name__} is a class; give an object of it, such as {value.__name__}()."
        )
    if not (callable(value) or has_encode(value)):
        raise UsageError(
            f"A {type(value).__name__} cannot embed: it is no function and has no method encode. "
            "Give a function from a list of texts to an array [n, dim], or an object with encode."
        )
    door = _door("encoder", value, name, revision, batch_size)
    return replace(door, prompts=dict(prompts or {}), similarity=similarity)


def retriever(
    value: Callable[[list[str], int], Any],
    *,
    name: str = "",
    revision: str = "",
    batch_size: int = BATCH_SIZE,
) -> Door:
    """A function that finds documents, as a model: a vector database, a search engine, a pipeline.

    :param value: `f(queries, k)` for a list of n queries gives n results, best first, each a list
        of pairs (id, score) or a table id -> score; or the tuple (ids, scores) of two lists of n
        lists. Ids are those of the task's documents.
    :param name: of its row; by default the name of the function.
    :param revision: as of `encoder`; of the index, too.
    :param batch_size: most queries of one call.
    :raises UsageError: what is no function, or an argument of a wrong type.
    """
    _refuse_no_function(value, "retriever", "(queries, k)")
    return _door("retriever", value, name, revision, batch_size)


def reranker(
    value: Callable[[str, list[str]], Any],
    *,
    name: str = "",
    revision: str = "",
    first: str = "",
    depth: int = DEPTH,
    batch_size: int = BATCH_SIZE,
) -> Door:
    """A function that scores documents for a query, as a model.

    :param value: `f(query, documents)` gives one score per document, higher is better; or an object
        with `predict`, which takes pairs, such as a CrossEncoder.
    :param first: the model whose best documents it puts in order (`bm25:kiwi`); without one it runs
        on reranking tasks only, whose data name the candidates.
    :param depth: how many documents of `first`.
    :param batch_size: most pairs of one batch; a call has those of one query.
    :raises UsageError: what is no function, or an argument of a wrong type.
    """
    if not callable(getattr(value, "predict", None)):
        _refuse_no_function(value, "reranker", "(query, documents)")
    if type(depth) is not int or not 1 <= depth <= 1000:
        raise UsageError(f"depth={depth!r} is no number of documents; type 1 to 1000.")
    door = _door("reranker", value, name, revision, batch_size)
    return replace(door, first=first, depth=depth)


def _door(kind: DoorKind, value: object, name: str, revision: str, batch_size: int) -> Door:
    name = name or name_of(value)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"name={name!r} cannot be the name of a row; use letters, digits, . _ - and at most "
            "one /."
        )
    if not isinstance(revision, str) or (revision and not _REVISION.fullmatch(revision)):
        raise UsageError(
            f"revision={revision!r} is no revision; type a text such as '2026-11-30' of letters, "
            "digits, . _ + and -."
        )
    if type(batch_size) is not int or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r} is no number of texts; type 1 or more.")
    return Door(kind, value, name, revision, batch_size=batch_size)


def _refuse_no_function(value: object, what: str, arguments: str) -> None:
    if not callable(value):
        raise UsageError(
            f"A {type(value).__name__} cannot be a {what}; give a function of {arguments}."
        )


def has_encode(value: object) -> bool:
    """Whether an object has a method that embeds."""
    return any(
        callable(getattr(value, name, None)) for name in ("encode", "encode_document")
    ) and not isinstance(value, str | bytes | type)


def name_of(value: object) -> str:
    """What a function or an object is called: its own name, or that of its class; of a model that
    sentence-transformers or mteb has loaded the model's.
    """
    if hasattr(value, "mteb_model_meta"):
        return str(value.mteb_model_meta.name)
    if any(name.startswith("sentence_transformers.") for name in class_names(value)):
        return f"memory/{_loaded_name(value)}"
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, type) and type(owner).__name__ != "module":
        return type(owner).__name__
    inner = getattr(value, "func", None)  # functools.partial
    name = getattr(value, "__name__", None) or getattr(inner, "__name__", type(value).__name__)
    return re.sub(r"\W+", "", str(name)) or "function"


def _loaded_name(value: Any) -> str:  # noqa: ANN401  sentence-transformers has no types
    """The last part of the name or path that a network was loaded from."""
    first = value[0] if hasattr(value, "__getitem__") else value
    network = getattr(first, "auto_model", None) or getattr(first, "model", None)
    path = str(getattr(getattr(network, "config", None), "_name_or_path", "") or "")
    stem = re.sub(r"[^\w.-]+", "-", Path(path).name).strip(".-")
    return stem or type(value).__name__


def named(reference: str) -> Any:  # noqa: ANN401  whatever has the name
    """The object that `python:package.module:object` names; only that module is imported.

    Modules of the current folder count, after those that are installed.

    :raises UsageError: a name that is not spelled out in full, or that leads nowhere.
    """
    match = _REFERENCE.fullmatch(reference.removeprefix(PYTHON))
    if match is None:
        raise UsageError(
            f"{reference!r} does not name an object of Python in full; type "
            "python:package.module:object, for example python:my_models.search:embed."
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        value: Any = importlib.import_module(match["module"])
    except Exception as error:
        raise UsageError(
            f"{reference}: the module {match['module']} cannot be imported: "
            f"{type(error).__name__}: {_one_line(error)} Look at its name, at the current folder "
            "and at what is installed."
        ) from error
    for part in match["object"].split("."):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            raise UsageError(
                f"{reference}: there is no {part!r} in {match['module']}; it has "
                f"{', '.join(_public(value)) or 'no public name'}."
            ) from error
    return value


def _public(value: object, limit: int = 8) -> list[str]:
    names = [name for name in dir(value) if not name.startswith("_")]
    return [*names[:limit], *(["..."] if len(names) > limit else [])]


def _one_line(error: Exception) -> str:
    return f"{' '.join(str(error).split())[:300].rstrip('.')}."


def origin_of(value: object) -> Origin | None:
    """The installed distribution whose code an object is, with the hash of its files.

    None for what was written in a notebook or a script, for closures and `functools.partial` (their
    values are nowhere in the files), for editable installs, and where a file is not the one that
    was installed.
    """
    if is_function_of_module(value):
        module = value.__module__
    elif hasattr(value, "func") or isinstance(value, FunctionType):
        return None
    else:
        module = type(getattr(value, "__self__", value)).__module__
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    return _origin_of_file(str(module).partition(".")[0], file) if file else None


@cache
def _origin_of_file(package: str, file: str) -> Origin | None:
    for distribution in metadata.packages_distributions().get(package, []):
        installed = metadata.distribution(distribution)
        paths = {str(path.locate()): path for path in installed.files or []}
        if file in paths:
            return origin_of_distribution(distribution)
    return None


@cache
def origin_of_distribution(name: str) -> Origin | None:
    """An installed distribution with the hash of its files; None where one was changed.

    The hashes are those of its RECORD, and every file is compared with its own.
    """
    distribution = metadata.distribution(name)
    total = hashlib.sha256()
    for path in sorted(distribution.files or [], key=str):
        if path.hash is None or path.hash.mode != "sha256":
            continue
        content = Path(str(path.locate()))
        if ".dist-info" in str(path):
            continue
        if not content.is_file() or _record_hash(content) != path.hash.value:
            return None
        total.update(f"{len(str(path))}:{path}:{path.hash.value};".encode())
    return Origin(distribution.metadata["Name"], distribution.version, total.hexdigest())


def _record_hash(path: Path) -> str:
    """sha256 as a RECORD writes it: URL-safe base64 without padding."""
    import base64

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_function_of_module(value: object) -> bool:
    """Whether an object is a plain function that its module holds: code, without a state."""
    module = sys.modules.get(str(getattr(value, "__module__", "")))
    return (
        type(value).__name__ in ("function", "builtin_function_or_method")
        and getattr(module, getattr(value, "__name__", ""), None) is value
    )


def class_names(value: object) -> Sequence[str]:
    """The full names of an object's classes, without importing any of them."""
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in type(value).__mro__]
