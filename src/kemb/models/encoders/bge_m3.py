"""BGE-M3's heads: one forward pass, read as one vector, as weights of words, or as a vector per
token.

After FlagEmbedding's M3Embedder and Chen et al. 2024, "M3-Embedding"; with hidden states h of the
tokens, h_0 of CLS:

    dense    h_0 / |h_0|                                                         cosine
    sparse   w(t) = max over places of token t: relu(W_s h + b_s)  dot product over common tokens
    colbert  (W_c h_i + b_c) / |W_c h_i + b_c|, i >= 1             MaxSim / number of query vectors

CLS, end, padding and unknown tokens have no weight.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

import numpy as np

from kemb.arrays import Ragged
from kemb.errors import ModelError, UsageError
from kemb.models.families import LOADERS
from kemb.models.files import ModelFolder
from kemb.models.spec import ModelSpec
from kemb.models.weights import HEADS

Head = Literal["dense", "sparse", "colbert"]
FILES = dict(zip(("sparse", "colbert"), HEADS, strict=True))
"""Of a head's weights, without the ending: a linear layer's `weight` and `bias`."""
SUFFIXES = (".safetensors", ".pt")
HUB_FILES = tuple(f"{stem}.pt" for stem in FILES.values())
"""What a repository holds beside the files that every model has."""


def split_head(name: str) -> tuple[str, Head | None]:
    """The model and the head of `BAAI/bge-m3#sparse`, or `BAAI/bge-m3#sparse@<commit>`; other names
    as they are.
    """
    match = re.fullmatch(
        r"(?P<before>[^#]+)#(?P<head>dense|sparse|colbert)(?P<revision>@[^#]*)?", name
    )
    if match is None:
        return name, None
    return match["before"] + (match["revision"] or ""), cast(Head, match["head"])


def refuse_head(name: str, kind: str, head: Head) -> NoReturn:
    """A head asked of a model of another kind.

    :raises UsageError: always.
    """
    raise UsageError(
        f"{name} is of the kind {kind!r} and has no head {head!r}; heads are read off transformers "
        f"like BGE-M3. Leave #{head} away."
    )


def refuse_other_heads(name: str) -> None:
    """A # with something else behind it.

    :raises UsageError: the heads that there are.
    """
    before, mark, head = name.partition("#")
    if mark:
        raise UsageError(
            f"{name!r} asks for the head {head!r} of a model; there are dense, sparse and colbert, "
            "those of BGE-M3. "
            f"Type for example {before or 'BAAI/bge-m3'}#sparse."
        )


def read_through(spec: ModelSpec, folder: ModelFolder, head: Head) -> ModelSpec:
    """The specification of a model's head; an encoder without modules of its own gets BGE-M3's.

    :raises UsageError: a model of another kind. ModelError: the head is not there.
    """
    if folder.loader != "sentence-transformers":
        refuse_head(spec.name, folder.loader, head)
    if head in FILES:
        find_file(folder.path, head, spec.name)
    elif not folder.has_modules:
        return spec.model_copy(update={"pooling": spec.pooling or "cls", "normalize": True})
    return spec_of_head(spec, head)


def spec_of_head(spec: ModelSpec, head: Head) -> ModelSpec:
    """A model's specification, read through a head; `dense` is the model itself."""
    if head == "dense":
        return spec
    loader = next(name for name, row in LOADERS.items() if row.head == head)
    update: dict[str, object] = {
        "name": f"{spec.name}#{head}",
        "hub": spec.hub or spec.name,
        "loader": loader,
        "similarity": LOADERS[loader].similarities[0],
        "pooling": None,
        "normalize": None,
        "dim": None,
        "truncate_dims": [],
    }
    return spec.model_copy(update=update)


def find_file(folder: Path, head: str, name: str) -> Path:
    """The file of a head's weights.

    :param name: of the model, for the message.
    :raises ModelError: there is none.
    """
    for suffix in SUFFIXES:
        if (path := folder / f"{FILES[head]}{suffix}").is_file():
            return path
    raise ModelError(
        f"{name} has no {head} head: {folder} holds no {FILES[head]}.pt. Only BGE-M3 and models "
        "trained like it have one. SentenceTransformer.save_pretrained leaves it out: copy "
        f"{' and '.join(HUB_FILES)} of the original "
        "beside the weights, or leave the # and what follows away for the dense vectors."
    )


def attach(model: Any, folder: Path, head: str) -> None:  # noqa: ANN401  sentence-transformers has no types
    """Load a head into a dense model, on its device, in float32.

    :raises ModelError: a file that cannot be read, or holds something else than a layer for this
        model.
    """
    import torch

    path = find_file(folder, head, str(folder))
    try:
        if path.suffix == ".pt":
            state = torch.load(
                path, map_location="cpu", weights_only=True
            )  # tensors only: no code can run
        else:
            from safetensors.torch import load_file

            state = load_file(path)
    except Exception as error:  # torch raises what its unpickler, zip reader and own checks raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(
            f"{path} cannot be read as tensors: {reason} The download may be incomplete, or it "
            "holds more than tensors, which kemb does not load. Fetch the file again."
        ) from error
    hidden = int(model[0].model.config.hidden_size)
    shapes = {name: list(getattr(state.get(name), "shape", [])) for name in ("weight", "bias")}
    n_out = 1 if head == "sparse" else shapes["weight"][0] if shapes["weight"] else 0
    if shapes != {"weight": [n_out, hidden], "bias": [n_out]} or not n_out:
        expected = "1" if head == "sparse" else "n"
        raise ModelError(
            f"{path} holds tensors {shapes}, expected weight [{expected}, {hidden}] and bias "
            f"[{expected}], a linear layer on the {hidden} dimensions of this encoder. The file "
            "belongs to another model: "
            "copy the one of "
            "this model beside its weights."
        )
    layer = torch.nn.Linear(hidden, n_out)
    layer.load_state_dict({name: state[name] for name in shapes})
    layer.to(device=model.device)
    # A dict, because what is added to the model as a module takes part in its forward pass.
    model.kemb_heads = getattr(model, "kemb_heads", {}) | {head: layer}


def token_weights(model: Any, output: Any) -> Ragged:  # noqa: ANN401  sentence-transformers has no types
    """The greatest weight of every token of a text, of those above 0, by id of the vocabulary."""
    import torch

    hidden = output["token_embeddings"]
    weights = torch.relu(model.kemb_heads["sparse"](hidden)).squeeze(-1).float().cpu().numpy()
    ids, mask = (
        output["input_ids"].cpu().numpy(),
        output["attention_mask"].cpu().numpy().astype(bool),
    )
    tokenizer = model.tokenizer
    unused = (
        tokenizer.cls_token_id,
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
    )
    counts = (
        mask & ~(weights <= 0) & ~np.isin(ids, [number for number in unused if number is not None])
    )  # NaN is kept
    dim = vocabulary(model)
    rows, places = np.nonzero(counts)
    keys = rows * dim + ids[rows, places]
    order = np.argsort(keys, kind="stable")
    distinct, first = np.unique(keys[order], return_index=True)
    values = (
        np.maximum.reduceat(weights[counts][order], first)
        if len(first)
        else np.empty(0, dtype=np.float32)
    )
    offsets = np.searchsorted(distinct, np.arange(len(ids) + 1) * dim)
    return Ragged(
        offsets, values[:, None].astype(np.float32), dim, (distinct % dim).astype(np.int32)
    )


def token_vectors(model: Any, output: Any) -> Ragged:  # noqa: ANN401  sentence-transformers has no types
    """The unit vectors of a text's tokens but the first, in float16 as all token vectors are
    stored.
    """
    import torch

    mask = output["attention_mask"][:, 1:].bool()
    projected = model.kemb_heads["colbert"](output["token_embeddings"][:, 1:])
    vectors = torch.nn.functional.normalize(projected.float(), dim=-1)[mask].cpu().numpy()
    offsets = np.concatenate(([0], np.cumsum(mask.sum(dim=1).cpu().numpy())))
    return Ragged(offsets, vectors.astype(np.float16), vectors.shape[1])


def vocabulary(model: Any) -> int:  # noqa: ANN401  sentence-transformers has no types
    """Number of ids that the encoder knows."""
    return int(model[0].model.config.vocab_size)


def colbert_dim(model: Any) -> int:  # noqa: ANN401  sentence-transformers has no types
    """Dimensions of a token's vector."""
    return int(model.kemb_heads["colbert"].out_features)
