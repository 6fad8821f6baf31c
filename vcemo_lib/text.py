"""Text as numbers (section 3.1): words as 300-dimensional vectors (spaCy), sentences as BERT vectors."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vcemo_lib import weights
from vcemo_lib.errors import VcemoError
from vcemo_lib.paths import cache_dir

if TYPE_CHECKING:
    from spacy.language import Language

BUNDLED = "bundled"
BUNDLED_WORDS, BUNDLED_BERT = "vectors-zh", "bert-mini-zh"  # folders of data/models/
BATCH_TOKENS = 4_096  # padded tokens a batch of the BERT


def load_words(name: str = BUNDLED) -> Language:
    """A spaCy pipeline with word vectors: "bundled", an installed one ("zh_core_web_md"), or a folder."""
    return _load_words(str(name))


@lru_cache(maxsize=4)
def _load_words(name: str) -> Language:
    import jieba
    import spacy

    jieba.setLogLevel(logging.WARNING)
    jieba.dt.tmp_dir = str(cache_dir())  # it unmarshals what it finds there: not in a folder others write to
    folder = weights.bundled(BUNDLED_WORDS) if name == BUNDLED else Path(name)
    if (folder / "vectors.safetensors").is_file():
        nlp = _read_vectors(folder)
    else:
        try:
            nlp = spacy.load(name)
        except (OSError, ImportError, ValueError) as error:
            raise VcemoError("no such word vectors", name, "install the package, or give a path") from error
    if not nlp.vocab.vectors_length:
        raise VcemoError("this spaCy pipeline has no word vectors", name, "take its _md or _lg version")
    if name != BUNDLED:
        weights.record(name, "user path" if folder.exists() else "installed package", nlp.path or folder)
    return nlp


def _read_vectors(folder: Path) -> Language:
    """A blank Chinese pipeline with vectors.safetensors (int8 rows, a scale each) and words.txt."""
    import spacy
    from safetensors.numpy import load_file
    from spacy.vectors import Vectors

    stored = load_file(folder / "vectors.safetensors")
    table = stored["vectors"].astype(np.float32) * stored["scale"].astype(np.float32)  # (V, 300)
    keys = (folder / "words.txt").read_text(encoding="utf-8").splitlines()
    nlp = spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": "jieba"}}})
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=table, keys=keys, name=folder.name)
    for word in keys:
        nlp.vocab.strings.add(word)
    nlp.meta.update(json.loads((folder / "meta.json").read_text(encoding="utf-8")))
    return nlp


def words(text: str, nlp: Language | None = None) -> list[str]:
    """The words of a text, without spaces and punctuation (which ASR does not give reliably)."""
    doc = (nlp or load_words()).make_doc(text)
    return [token.text for token in doc if not (token.is_space or token.is_punct)]


def word_vectors(text: str | Sequence[str], nlp: Language | None = None) -> np.ndarray:
    """One vector a word, (W, 300) float32: its own, its lower case's, its characters' mean, or zeros."""
    nlp = nlp or load_words()
    found = words(text, nlp) if isinstance(text, str) else list(text)
    rows = np.zeros((len(found), nlp.vocab.vectors_length), np.float32)
    for row, word in enumerate(found):
        whole = [form for form in (word, word.lower()) if nlp.vocab.has_vector(form)]
        parts = whole[:1] or [c for c in word if "\u3400" <= c <= "\u9fff" and nlp.vocab.has_vector(c)]
        if parts:
            rows[row] = np.array([nlp.vocab.get_vector(part) for part in parts]).mean(axis=0)
    return rows


@dataclass(frozen=True)
class TextEncoder:
    """A frozen BERT and its tokenizer; `width` is the size H of its vectors."""

    name: str
    width: int
    tokenizer: Any
    model: Any

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """One array (K, H) float32 a text: [CLS], the tokens, [SEP], cut to the model's positions."""
        import torch

        limit = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        ids = [self.tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        found: dict[int, np.ndarray] = {}
        while order:
            size = max(1, BATCH_TOKENS // len(ids[order[-1]]))
            batch, order = order[-size:], order[:-size]
            padded = self.tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt")  # (B, K)
            with torch.inference_mode():
                output = self.model(**padded)
            for i, rows in zip(batch, output.last_hidden_state.float().numpy(), strict=True):
                found[i] = rows[: len(ids[i])].copy()
        return [found[i] for i in range(len(texts))]

    def pooled(self, texts: Sequence[str], how: Literal["mean", "cls"] = "mean") -> np.ndarray:
        """One vector a text, (N, H) float32: the mean over all its tokens, or that of [CLS]."""
        rows = [tokens.mean(0) if how == "mean" else tokens[0] for tokens in self.tokens(texts)]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)


def load_bert(name: str = BUNDLED) -> TextEncoder:
    """A frozen BERT: "bundled", a folder, or a name from the hub ("bert-base-chinese", perhaps @revision)."""
    return _load_bert(str(name))


@lru_cache(maxsize=4)
def _load_bert(name: str) -> TextEncoder:
    import torch
    from transformers import AutoModel, AutoTokenizer, logging

    logging.set_verbosity_error()  # it would warn of the pooler and the word predictor
    logging.disable_progress_bar()
    local, safe = Path(name).is_dir(), dict(local_files_only=True, trust_remote_code=False)
    folder = weights.bundled(BUNDLED_BERT) if name == BUNDLED else Path(name) if local else weights.hub(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        with torch.random.fork_rng(devices=[]):  # it draws weights for what the file lacks
            model = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **safe)
    except Exception as error:  # transformers raises OSError, ValueError and kinds of its own
        needs = "it needs config.json, a whole model.safetensors and the tokenizer's files"
        raise VcemoError("no encoder can be read from this folder", folder, needs) from error
    if name != BUNDLED:
        source, files = f"hub, revision {folder.name}", list(folder.glob("*.safetensors"))
        digest = weights.sha256(files[0]) if len(files) == 1 else ""
        weights.record(name, "user path" if local else source, folder, digest)
    shown = BUNDLED_BERT if name == BUNDLED else name
    return TextEncoder(shown, model.config.hidden_size, tokenizer, model.eval().requires_grad_(False))
