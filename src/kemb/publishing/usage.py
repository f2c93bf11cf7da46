"""Code to copy, with the prompts that a model needs: a model served without them loses points and
nobody notices.

Strings are literal and quoted for their language (Python, JSON, shell), so that no name or prompt
can leave its string. The arguments are those of sentence-transformers 5 and later, transformers
4.56 and later, langchain-huggingface 0.2, text-embeddings-inference 1.8 and vLLM 0.10 and later.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kemb import tasks
from kemb.models import catalogue
from kemb.models.facts import facts_of
from kemb.models.families import LOADERS
from kemb.models.prompts import build_prompts, declares_prompts, resolve
from kemb.models.spec import ModelSpec
from kemb.publishing.site.schema import Snippet
from kemb.results.files import TaskResult
from kemb.results.record import Record
from kemb.tasks.kinds import with_roles

QUERY = "대한민국의 수도는 어디인가요?"
DOCUMENT = "서울은 대한민국의 수도이다."
UNKNOWN = (
    "# kemb does not know one prompt for queries and documents: see its "
    "config_sentence_transformers.json.\n"
)

_TEI_POOLING = {"mean": "mean", "cls": "cls", "last": "last-token"}
_POOL = {
    "mean": """\
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    vectors = (hidden * mask).sum(1) / mask.sum(1)  # mean of the tokens
""",
    "cls": """\
    vectors = hidden[:, 0]  # the first token
""",
    "last": """\
    place = torch.arange(hidden.shape[1], device=hidden.device)
    last = (batch["attention_mask"] * place).argmax(1)  # the last token, whichever side is padded
    vectors = hidden[torch.arange(len(texts)), last]
""",
}


def snippets(name: str, results: Iterable[TaskResult] = (), source: str = "") -> list[Snippet]:
    """Code for a model: all that is certain to give kemb's vectors; for a closed model one note.

    :param results: measured results of the model, which recorded its prompts; needed where no TOML
        says them.
    :param source: the hub id or folder to load, where it is not the name.
    """
    return code_for(usage_of(name, results, source))


def code_for(usage: Usage) -> list[Snippet]:
    """Code for one way to use a model."""
    if usage.how == "none":
        return [Snippet(name="kemb", code=f"# {usage.note}\n")]
    if usage.how == "built-in":
        return [
            Snippet(
                name="kemb", code=_kemb(usage, "kemb[kiwi]" if "kiwi" in usage.name else "kemb")
            )
        ]
    if usage.how == "cross-encoder":
        return [Snippet(name="sentence-transformers", code=_cross_encoder(usage))]
    library_code = [
        ("sentence-transformers", _sentence_transformers(usage)),
        ("transformers", _transformers(usage)),
        ("LangChain", _langchain(usage)),
        ("TEI", _tei(usage)),
        ("vLLM", _vllm(usage)),
        ("kemb", _kemb(usage, "kemb[st]")),
    ]
    return [Snippet(name=library, code=code) for library, code in library_code if code]


def py(text: str) -> str:
    """A text as a Python literal."""
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else repr(text)


def _json(value: object) -> str:
    """JSON that is printable throughout."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def _arguments(usage: Usage, dtype_in_model: bool) -> list[str]:
    """What every Python loader is told besides the name."""
    arguments = [f"revision={py(usage.revision)}"] if usage.revision else []
    if usage.dtype and usage.dtype != "float32":
        dtype = f"dtype={py(usage.dtype)}"
        arguments.append(
            f"model_kwargs={{{py('dtype')}: {py(usage.dtype)}}}" if dtype_in_model else dtype
        )
    return [*arguments, *(["trust_remote_code=True"] if usage.remote_code else [])]


def _remark(usage: Usage) -> str:
    """What stands above the code: code of others, the prompts, and where they are none of these."""
    lines = ""
    if usage.remote_code:
        lines += "# This model runs code from its own repository: read it before you trust it.\n"
    if not usage.knows_prompts:
        return lines + UNKNOWN
    if usage.text and not usage.query_route:
        lines += (
            f"# For the similarity of two texts (STS) the prompt of both is {py(usage.text)}.\n"
        )
    elif not usage.query and not usage.document:
        return f"{lines}# This model takes no prompts.\n"
    elif usage.text == "" and not usage.query_route:
        lines += "# For the similarity of two texts (STS) neither has a prompt.\n"
    return lines


def _prompts(usage: Usage) -> str:
    """The prompts as two assignments."""
    return f"query_prompt = {py(usage.query or '')}\ndocument_prompt = {py(usage.document or '')}\n"


def _sentence_transformers(usage: Usage) -> str:
    if usage.is_plain and usage.pooling != "mean":
        return ""  # sentence-transformers would take the mean of the tokens
    arguments = ", ".join([py(usage.source), *_arguments(usage, True)])
    limit = f"model.max_seq_length = {usage.max_tokens}\n" if usage.max_tokens else ""
    eos = " + model.tokenizer.eos_token" if usage.append_eos else ""
    more = ", normalize_embeddings=True" if usage.is_plain and usage.normalize else ""
    query, document, prompts = "encode_query", "encode_document", ""
    of_query = of_document = more
    if usage.knows_prompts:
        # An empty prompt is passed, too: without it the model's own default prompt would be put
        # before the text.
        query = document = "encode"
        prompts = _prompts(usage)
        of_query = f", prompt=query_prompt{_route(usage.query_route)}{more}"
        of_document = f", prompt=document_prompt{_route(usage.document_route)}{more}"
    return (
        f"from sentence_transformers import SentenceTransformer\n\n{_remark(usage)}{prompts}"
        f"model = SentenceTransformer({arguments})\n{limit}"
        f"queries = model.{query}([{py(QUERY)}{eos}]{of_query})\n"
        f"documents = model.{document}([{py(DOCUMENT)}{eos}]{of_document})\n"
        "print(model.similarity(queries, documents))\n"
    )


def _route(route: str) -> str:
    return f", task={py(route)}" if route else ""


def _transformers(usage: Usage) -> str:
    if (
        not usage.is_simple
        or not usage.knows_prompts
        or usage.query_route
        or usage.pooling not in _POOL
    ):
        return ""
    settings = _arguments(usage, False)
    source = py(usage.source)
    tokenizer = ", ".join([source, *(part for part in settings if not part.startswith("dtype"))])
    limit = f", max_length={usage.max_tokens}" if usage.max_tokens else ""
    eos = " + tokenizer.eos_token" if usage.append_eos else ""
    normalised = "vectors" if usage.normalize is False else "F.normalize(vectors, dim=-1)"
    return (
        "import torch\nimport torch.nn.functional as F\nfrom transformers import AutoModel, "
        "AutoTokenizer\n\n"
        f"{_remark(usage)}{_prompts(usage)}"
        f"tokenizer = AutoTokenizer.from_pretrained({tokenizer})\n"
        f"model = AutoModel.from_pretrained({', '.join([source, *settings])}).eval()\n\n\n"
        "def encode(texts, prompt):\n"
        f"    texts = [prompt + text{eos} for text in texts]\n"
        f'    batch = tokenizer(texts, padding=True, truncation=True{limit}, return_tensors="pt")\n'
        "    with torch.inference_mode():\n"
        "        hidden = model(**batch).last_hidden_state\n"
        f"{_POOL[usage.pooling]}"
        f"    return {normalised}\n\n\n"
        f"queries = encode([{py(QUERY)}], query_prompt)\n"
        f"documents = encode([{py(DOCUMENT)}], document_prompt)\n"
        "print(F.cosine_similarity(queries[:, None], documents[None], dim=-1))\n"
    )


def _langchain(usage: Usage) -> str:
    if usage.append_eos or not usage.knows_prompts or (usage.is_plain and usage.pooling != "mean"):
        return ""
    loading = {"revision": py(usage.revision)} if usage.revision else {}
    loading |= {"trust_remote_code": "True"} if usage.remote_code else {}
    if usage.dtype and usage.dtype != "float32":
        loading["model_kwargs"] = f"{{{py('dtype')}: {py(usage.dtype)}}}"
    model = f"    model_kwargs={_dict(loading)},\n" if loading else ""
    normal = {"normalize_embeddings": "True"} if usage.is_plain and usage.normalize else {}
    document = {"prompt": "document_prompt"} | _task(usage.document_route) | normal
    query = {"prompt": "query_prompt"} | _task(usage.query_route) | normal
    return (
        "from langchain_huggingface import "
        f"HuggingFaceEmbeddings\n\n{_remark(usage)}{_prompts(usage)}"
        f"embeddings = HuggingFaceEmbeddings(\n    model_name={py(usage.source)},\n{model}"
        f"    encode_kwargs={_dict(document)},  # documents\n"
        f"    query_encode_kwargs={_dict(query)},\n)\n"
        f"query = embeddings.embed_query({py(QUERY)})\ndocuments = "
        f"embeddings.embed_documents([{py(DOCUMENT)}])\n"
    )


def _task(route: str) -> dict[str, str]:
    return {"task": py(route)} if route else {}


def _dict(pairs: dict[str, str]) -> str:
    return "{" + ", ".join(f"{py(key)}: {value}" for key, value in pairs.items()) + "}"


def _tei(usage: Usage) -> str:
    if usage.append_eos or usage.query_route or not usage.knows_prompts:
        return ""
    options = [
        f"--model-id={usage.source}",
        *([f"--revision={usage.revision}"] if usage.revision else []),
    ]
    if usage.is_plain and usage.pooling in _TEI_POOLING:
        options.append(f"--pooling={_TEI_POOLING[usage.pooling]}")
    prompted = (
        "The prompts stand before the texts."
        if usage.query or usage.document
        else "This model takes no prompts."
    )
    lines = [
        "# Without a GPU leave out --gpus all and take the image cpu-1.8.",
        'docker run --gpus all -p 8080:80 -v "$PWD/tei:/data" '
        "ghcr.io/huggingface/text-embeddings-inference:1.8 \\",
        f"  {shlex.join(options)}",
        f"\n# A query, then a document. {prompted}",
    ]
    for prompt, text in ((usage.query, QUERY), (usage.document, DOCUMENT)):
        body = _json({"inputs": [f"{prompt}{text}"], "truncate": True})
        lines.append(
            "curl 127.0.0.1:8080/embed -H 'Content-Type: application/json' \\\n  -d "
            f"{shlex.quote(body)}"
        )
    return "\n".join(lines) + "\n"


def _vllm(usage: Usage) -> str:
    if (
        usage.query_route
        or not usage.knows_prompts
        or (usage.is_plain and usage.pooling not in _TEI_POOLING)
    ):
        return ""
    settings = [*_arguments(usage, False), 'runner="pooling"']
    imports = "from vllm import LLM\n"
    if usage.is_plain:
        imports += "from vllm.config import PoolerConfig\n"
        settings.append(
            f"pooler_config=PoolerConfig(pooling_type={py(str(usage.pooling).upper())})"
        )
    eos = " + eos" if usage.append_eos else ""
    ending = "eos = llm.get_tokenizer().eos_token\n" if usage.append_eos else ""
    return (
        f"{imports}\n{_remark(usage)}{_prompts(usage)}llm = "
        f"LLM({', '.join([py(usage.source), *settings])})\n{ending}"
        f"texts = [query_prompt + {py(QUERY)}{eos}, document_prompt + {py(DOCUMENT)}{eos}]\n"
        "vectors = [output.outputs.embedding for output in llm.embed(texts)]\n"
    )


def _cross_encoder(usage: Usage) -> str:
    arguments = ", ".join([py(usage.source), *_arguments(usage, True)])
    return (
        "from sentence_transformers import CrossEncoder\n\n"
        f"model = CrossEncoder({arguments})\nprint(model.predict([({py(QUERY)}, "
        f"{py(DOCUMENT)})]))\n"
    )


def _kemb(usage: Usage, package: str) -> str:
    target = shlex.quote(usage.source or usage.name)
    flag = " --trust-remote-code" if usage.remote_code else ""
    prompts_command = (
        f"kemb prompts {target} Ko-StrategyQA KLUE-STS  # the exact strings that the model sees\n"
    )
    return (
        f"pip install {shlex.quote(package)}\nkemb run ./mydata -m {target}{flag}  # your own "
        "data\n"
        f"{prompts_command if usage.how == 'dense' else ''}"
    )


How = Literal["dense", "built-in", "cross-encoder", "none"]


MORE_MODULES = {"google/embeddinggemma-300m", "sentence-transformers/sentence-t5-xxl"}
"""Known models with dense layers behind the pooling, which plain transformers leave out."""


_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snippet says of a model; None where nobody says."""

    name: str
    """As kemb's commands take it."""
    source: str
    """What other libraries load: a hub id or a folder."""
    how: How
    note: str = ""
    """Why there is no code."""
    revision: str = ""
    query: str | None = None
    """The literal prompt of queries."""
    document: str | None = None
    text: str | None = None
    """The literal prompt of texts without a role, as in STS."""
    query_route: str = ""
    document_route: str = ""
    pooling: str | None = None
    normalize: bool | None = None
    is_plain: bool = False
    """A transformers model that does not say how token vectors become one."""
    is_simple: bool = False
    """Known to be a transformer, a pooling and nothing behind it but normalisation."""
    max_tokens: int | None = None
    dtype: str | None = None
    append_eos: bool = False
    remote_code: bool = False

    @property
    def knows_prompts(self) -> bool:
        return self.query is not None and self.document is not None


def usage_of(name: str, results: Iterable[TaskResult] = (), source: str = "") -> Usage:
    """How a model is used.

    :param results: measured results of one row. They say revision, dtype and limit, and the prompts
        where no TOML does or where others were asked for.
    :param source: the hub id or the folder under which the model can be loaded; its name by
        default.
    """
    records = [result.kemb for result in results if not result.claim and result.kemb]
    spec = catalogue.load_spec(name)
    if spec is not None and LOADERS[spec.loader].is_built_in:
        return Usage(spec.name, "", "built-in")
    location = source or (spec.hub or spec.name if spec else name)
    family = records[0].family if records else ""
    if (how := _other_way(name, spec, family)) is not None:
        return Usage(name, location, "none", note=how)
    if any(record.doors for record in records):
        note = f"{_short(name)} is an object of Python; its code lies with its author."
        return Usage(name, location, "none", note=note)
    if not source and (not _HUB_ID.fullmatch(location) or location.startswith("local/")):
        return Usage(
            name,
            location,
            "none",
            note=f"{_short(name)} is no model of the hub; its files lie with its author.",
        )
    model = records[0].model if records else None
    commit = (model.revision if model else None) or (spec.revision if spec else None) or ""
    if spec is not None and spec.loader == "cross-encoder":
        return Usage(spec.name, location, "cross-encoder", revision=commit if not source else "")
    variant = model.variant if model else ""
    is_declared = spec is not None and declares_prompts(spec) and "prompts_" not in variant
    prompts = _declared(spec) if is_declared and spec is not None else _recorded(records)
    return Usage(
        name=spec.name if spec else name,
        source=location,
        how="dense",
        revision=commit if not source else "",
        query=prompts.get("query", (None, ""))[0],
        document=prompts.get("document", (None, ""))[0],
        text=prompts.get("text", (None, ""))[0],
        query_route=prompts.get("query", (None, ""))[1],
        document_route=prompts.get("document", (None, ""))[1],
        pooling=(spec.pooling if spec else None) or (model.pooling if model else None),
        normalize=spec.normalize if spec else None,
        is_plain=(spec is not None and spec.loader == "transformers") or "pooling_" in variant,
        is_simple=spec is not None
        and spec.pooling is not None
        and spec.name not in MORE_MODULES
        and not spec.needs_remote_code,
        max_tokens=(model.max_tokens if model else None) or (spec.max_tokens if spec else None),
        dtype=(model.dtype if model else None) or (spec.dtype if spec else None),
        append_eos=spec is not None and spec.append_eos,
        remote_code=spec is not None and spec.needs_remote_code,
    )


def _other_way(name: str, spec: ModelSpec | None, family: str) -> str | None:
    """Why a model cannot be loaded by the common libraries; None where it can."""
    facts = facts_of(name)
    kind = facts.kind or family
    if facts.open_weights is False or (spec is not None and spec.loader == "api"):
        return f"{_short(name)} is served by its provider only; see the provider's documentation."
    if spec is not None and LOADERS[spec.loader].head:
        return (
            f"{_short(name)} is a head of {_short(spec.hub or '')}; load it with "
            "FlagEmbedding's BGEM3FlagModel."
        )
    if kind == "late-interaction" or (
        spec is not None and LOADERS[spec.loader].family == "late-interaction"
    ):
        return (
            f"{_short(name)} makes one vector per token; load it with PyLate or its author's "
            "program."
        )
    if spec is not None and LOADERS[spec.loader].cannot_run:
        return f"{_short(name)} runs with its author's own program; see its model card."
    if spec is None and kind in ("lexical", "sparse", "cross-encoder", "hybrid"):
        return f"{_short(name)} is no dense encoder ({kind}); see its model card."
    return None


def _declared(spec: ModelSpec) -> dict[str, tuple[str, str]]:
    """Role -> prompt and route, by the model's TOML."""
    table = build_prompts(spec, None, None, tasks.names())
    prompts = {role: resolve(table, "", "retrieval", "", role) for role in ("query", "document")}
    prompts["text"] = resolve(table, "", "sts", "", "text")
    return {role: (prompt.prompt, prompt.route) for role, prompt in prompts.items()}


def _recorded(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """Role -> prompt and route that all records of retrieval, and of STS, agree on."""
    by_role: dict[str, set[tuple[str, str]]] = {}
    for record in records:
        if record.task.type in (*with_roles(), "sts"):
            for role, prompt in record.prompts.items():
                by_role.setdefault(role, set()).add((prompt.prompt, prompt.route))
    return {role: next(iter(prompts)) for role, prompts in by_role.items() if len(prompts) == 1}


def _short(name: str) -> str:
    """A name on one line, without what could end a comment or a code block."""
    clean = "".join(
        character if character.isprintable() and character != "`" else "\ufffd"
        for character in name
    )
    return clean if len(clean) <= 100 else f"{clean[:99]}…"
