"""Code to copy, with the prompts that a model needs: a model served without them loses points and nobody notices.

Strings are literal and quoted for their language (Python, JSON, shell), so that no name or prompt can leave its string.
The arguments are those of sentence-transformers 5 and later, transformers 4.56 and later, langchain-huggingface 0.2,
text-embeddings-inference 1.8 and vLLM 0.10 and later.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from kemb.publishing.site.schema import Snippet
from kemb.publishing.usagetwo import Usage, usage_of
from kemb.results.files import TaskResult

QUERY = "대한민국의 수도는 어디인가요?"
DOCUMENT = "서울은 대한민국의 수도이다."
UNKNOWN = "# kemb does not know one prompt for queries and documents: see its config_sentence_transformers.json.\n"

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

    :param results: measured results of the model, which recorded its prompts; needed where no TOML says them.
    :param source: the hub id or folder to load, where it is not the name.
    """
    return code_for(usage_of(name, results, source))


def code_for(usage: Usage) -> list[Snippet]:
    """Code for one way to use a model."""
    if usage.how == "none":
        return [Snippet(name="kemb", code=f"# {usage.note}\n")]
    if usage.how == "built-in":
        return [Snippet(name="kemb", code=_kemb(usage, "kemb[kiwi]" if "kiwi" in usage.name else "kemb"))]
    if usage.how == "cross-encoder":
        return [Snippet(name="sentence-transformers", code=_cross_encoder(usage))]
    found = [
        ("sentence-transformers", _sentence_transformers(usage)),
        ("transformers", _transformers(usage)),
        ("LangChain", _langchain(usage)),
        ("TEI", _tei(usage)),
        ("vLLM", _vllm(usage)),
        ("kemb", _kemb(usage, "kemb[st]")),
    ]
    return [Snippet(name=library, code=code) for library, code in found if code]


def py(text: str) -> str:
    """A text as a Python literal."""
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else repr(text)


def _json(value: object) -> str:
    """JSON that is printable throughout."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def _arguments(usage: Usage, dtype_in_model: bool) -> list[str]:
    """What every Python loader is told besides the name."""
    found = [f"revision={py(usage.revision)}"] if usage.revision else []
    if usage.dtype and usage.dtype != "float32":
        dtype = f"dtype={py(usage.dtype)}"
        found.append(f"model_kwargs={{{py('dtype')}: {py(usage.dtype)}}}" if dtype_in_model else dtype)
    return [*found, *(["trust_remote_code=True"] if usage.remote_code else [])]


def _remark(usage: Usage) -> str:
    """What stands above the code: code of others, the prompts, and where they are none of these."""
    lines = ""
    if usage.remote_code:
        lines += "# This model runs code from its own repository: read it before you trust it.\n"
    if not usage.knows_prompts:
        return lines + UNKNOWN
    if usage.text and not usage.query_route:
        lines += f"# For the similarity of two texts (STS) the prompt of both is {py(usage.text)}.\n"
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
        # An empty prompt is passed, too: without it the model's own default prompt would be put before the text.
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
    if not usage.is_simple or not usage.knows_prompts or usage.query_route or usage.pooling not in _POOL:
        return ""
    settings = _arguments(usage, False)
    source = py(usage.source)
    tokenizer = ", ".join([source, *(part for part in settings if not part.startswith("dtype"))])
    limit = f", max_length={usage.max_tokens}" if usage.max_tokens else ""
    eos = " + tokenizer.eos_token" if usage.append_eos else ""
    normalised = "vectors" if usage.normalize is False else "F.normalize(vectors, dim=-1)"
    return (
        "import torch\nimport torch.nn.functional as F\nfrom transformers import AutoModel, AutoTokenizer\n\n"
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
        f"from langchain_huggingface import HuggingFaceEmbeddings\n\n{_remark(usage)}{_prompts(usage)}"
        f"embeddings = HuggingFaceEmbeddings(\n    model_name={py(usage.source)},\n{model}"
        f"    encode_kwargs={_dict(document)},  # documents\n"
        f"    query_encode_kwargs={_dict(query)},\n)\n"
        f"query = embeddings.embed_query({py(QUERY)})\ndocuments = embeddings.embed_documents([{py(DOCUMENT)}])\n"
    )


def _task(route: str) -> dict[str, str]:
    return {"task": py(route)} if route else {}


def _dict(pairs: dict[str, str]) -> str:
    return "{" + ", ".join(f"{py(key)}: {value}" for key, value in pairs.items()) + "}"


def _tei(usage: Usage) -> str:
    if usage.append_eos or usage.query_route or not usage.knows_prompts:
        return ""
    options = [f"--model-id={usage.source}", *([f"--revision={usage.revision}"] if usage.revision else [])]
    if usage.is_plain and usage.pooling in _TEI_POOLING:
        options.append(f"--pooling={_TEI_POOLING[usage.pooling]}")
    prompted = (
        "The prompts stand before the texts." if usage.query or usage.document else "This model takes no prompts."
    )
    lines = [
        "# Without a GPU leave out --gpus all and take the image cpu-1.8.",
        'docker run --gpus all -p 8080:80 -v "$PWD/tei:/data" ghcr.io/huggingface/text-embeddings-inference:1.8 \\',
        f"  {shlex.join(options)}",
        f"\n# A query, then a document. {prompted}",
    ]
    for prompt, text in ((usage.query, QUERY), (usage.document, DOCUMENT)):
        body = _json({"inputs": [f"{prompt}{text}"], "truncate": True})
        lines.append(f"curl 127.0.0.1:8080/embed -H 'Content-Type: application/json' \\\n  -d {shlex.quote(body)}")
    return "\n".join(lines) + "\n"


def _vllm(usage: Usage) -> str:
    if usage.query_route or not usage.knows_prompts or (usage.is_plain and usage.pooling not in _TEI_POOLING):
        return ""
    settings = [*_arguments(usage, False), 'runner="pooling"']
    imports = "from vllm import LLM\n"
    if usage.is_plain:
        imports += "from vllm.config import PoolerConfig\n"
        settings.append(f"pooler_config=PoolerConfig(pooling_type={py(str(usage.pooling).upper())})")
    eos = " + eos" if usage.append_eos else ""
    ending = "eos = llm.get_tokenizer().eos_token\n" if usage.append_eos else ""
    return (
        f"{imports}\n{_remark(usage)}{_prompts(usage)}llm = LLM({', '.join([py(usage.source), *settings])})\n{ending}"
        f"texts = [query_prompt + {py(QUERY)}{eos}, document_prompt + {py(DOCUMENT)}{eos}]\n"
        "vectors = [output.outputs.embedding for output in llm.embed(texts)]\n"
    )


def _cross_encoder(usage: Usage) -> str:
    arguments = ", ".join([py(usage.source), *_arguments(usage, True)])
    return (
        "from sentence_transformers import CrossEncoder\n\n"
        f"model = CrossEncoder({arguments})\nprint(model.predict([({py(QUERY)}, {py(DOCUMENT)})]))\n"
    )


def _kemb(usage: Usage, package: str) -> str:
    target = shlex.quote(usage.source or usage.name)
    flag = " --trust-remote-code" if usage.remote_code else ""
    seen = f"kemb prompts {target} Ko-StrategyQA KLUE-STS  # the exact strings that the model sees\n"
    return (
        f"pip install {shlex.quote(package)}\nkemb run ./mydata -m {target}{flag}  # your own data\n"
        f"{seen if usage.how == 'dense' else ''}"
    )
