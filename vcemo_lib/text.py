"""Text as numbers: words as 300-dimensional vectors (spaCy), sentences as BERT vectors (transformers).

The paper (section 3.1) takes word vectors and BERT of the transcript. Bundled for both, because a model hub may be out
of reach: `vectors-zh`, a vocabulary of word vectors, and `bert-mini-zh`, a character BERT, distilled from a multilingual
sentence encoder (data/models/README.md says how and how good). `zh_core_web_md` or `bert-base-chinese` by their names.
spaCy's own Chinese vectors are fastText's, not GloVe.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vcemo_lib import weights
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from spacy.language import Language

BUNDLED = "bundled"
BUNDLED_WORDS, BUNDLED_BERT = "vectors-zh", "bert-mini-zh"  # folders of data/models/
BATCH_TOKENS = 4_096  # padded tokens a batch of the BERT


# --- words -----------------------------------------------------------------------------------------------------------


def load_words(name: str = BUNDLED) -> Language:
    """A spaCy pipeline with a word segmenter and word vectors (V, 300).

    `name`: "bundled"; an installed spaCy package ("zh_core_web_md", "en_core_web_md"); a path to a pipeline on disk, or
    to a folder laid out as the bundled one. Raises VcemoError if there is none, or if it has no vectors.
    """
    return _load_words(str(name))


@lru_cache(maxsize=4)
def _load_words(name: str) -> Language:
    import spacy

    folder = weights.bundled(BUNDLED_WORDS) if name == BUNDLED else Path(name)
    if (folder / "vectors.safetensors").is_file():
        if name != BUNDLED:
            weights.record(name, "user path", folder, weights.sha256(folder / "vectors.safetensors"))
        return _read_vectors(folder)
    try:
        nlp = spacy.load(name)
    except (OSError, ImportError, ValueError) as error:
        remedy = 'use "bundled", install the package, or give the path of a spaCy pipeline'
        raise VcemoError("no such word vectors", where=name, do=remedy) from error
    if not nlp.vocab.vectors_length:
        raise VcemoError("this spaCy pipeline has no word vectors", where=name, do="take its _md or _lg version")
    weights.record(name, "user path" if folder.exists() else "installed package", nlp.path or name)
    return nlp


def _read_vectors(folder: Path) -> Language:
    """Our own layout: vectors.safetensors (int8 rows, a scale each), words.txt, meta.json -> a blank Chinese pipeline."""
    import jieba
    import spacy
    from safetensors.numpy import load_file
    from spacy.vectors import Vectors

    jieba.setLogLevel(logging.WARNING)
    stored = load_file(folder / "vectors.safetensors")
    table = stored["vectors"].astype(np.float32) * stored["scale"].astype(np.float32)  # (V, 300)
    words_known = (folder / "words.txt").read_text(encoding="utf-8").splitlines()
    if len(words_known) != len(table):
        raise VcemoError(f"{len(words_known)} words for {len(table)} vectors", where=folder, do="restore the folder's files")
    nlp = spacy.blank("zh", config={"nlp": {"tokenizer": {"segmenter": "jieba"}}})
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=table, keys=words_known, name=folder.name)
    for word in words_known:
        nlp.vocab.strings.add(word)
    nlp.meta.update(json.loads((folder / "meta.json").read_text(encoding="utf-8")))
    return nlp


def words(text: str, nlp: Language | None = None) -> list[str]:
    """The words of a text, without spaces and punctuation (which ASR does not give reliably)."""
    doc = (nlp or load_words()).make_doc(text)
    return [token.text for token in doc if not (token.is_space or token.is_punct)]


def _is_hanzi(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff"


def _known_parts(word: str, nlp: Language) -> list[str]:
    """What of a word has vectors: itself (as written, then in lower case), else its Chinese characters, else nothing."""
    for form in (word, word.lower()):
        if nlp.vocab.has_vector(form):
            return [form]
    return [character for character in word if _is_hanzi(character) and nlp.vocab.has_vector(character)]


def word_vectors(text: str | Sequence[str], nlp: Language | None = None) -> np.ndarray:
    """One vector a word, (W, 300) float32, W = 0 for an empty text. `text` may be a list of words already.

    A word without a vector gets the mean of its characters'; where those have none either, zeros.
    """
    nlp = nlp or load_words()
    found = words(text, nlp) if isinstance(text, str) else list(text)
    rows = np.zeros((len(found), nlp.vocab.vectors_length), np.float32)
    for row, word in enumerate(found):
        if parts := _known_parts(word, nlp):
            rows[row] = np.mean([nlp.vocab.get_vector(part) for part in parts], axis=0)
    return rows


def coverage(texts: Iterable[str], nlp: Language | None = None) -> dict[str, Any]:
    """How much of the texts the vectors know: counts and shares of running words, and the ten commonest they lack.

    Keys: words, whole, by_characters, unknown (shares that add to 1), lacking (list of (word, count)).
    """
    nlp = nlp or load_words()
    counts = Counter(word for text in texts for word in words(text, nlp))
    kinds: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    for word, count in counts.items():
        parts = _known_parts(word, nlp)
        whole = [part.lower() for part in parts] == [word.lower()]
        kinds["whole" if whole else "by_characters" if parts else "unknown"] += count
        if not whole:
            lacking[word] = count
    total = counts.total()
    shares = {kind: kinds[kind] / max(total, 1) for kind in ("whole", "by_characters", "unknown")}
    return {"words": total, **shares, "lacking": lacking.most_common(10)}


def nearest(query: str | np.ndarray, nlp: Language | None = None, n: int = 8, without: Iterable[str] = ()) -> list[tuple[str, float]]:
    """The n words whose vectors have the largest cosine with a word's, or with a vector (300,): [(word, cosine), ...].

    The word itself and the words in `without` are left out. Raises VcemoError for a word of which nothing is known.
    """
    nlp = nlp or load_words()
    left_out = {*without, query} if isinstance(query, str) else set(without)
    vector = word_vectors([query], nlp)[0] if isinstance(query, str) else np.asarray(query, np.float32)
    if not vector.any():
        raise VcemoError("no vector for this", where=str(query)[:20], do="try a commoner word")
    keys, _, cosines = nlp.vocab.vectors.most_similar(vector[None], n=n + len(left_out))
    found = [(nlp.vocab.strings[int(key)], float(cosine)) for key, cosine in zip(keys[0], cosines[0], strict=True)]
    return [pair for pair in found if pair[0] not in left_out][:n]


# --- sentences -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextEncoder:
    """A frozen BERT and its tokenizer; `width` is the size H of its vectors."""

    name: str
    width: int
    tokenizer: Any
    model: Any

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """One array (K, H) float32 a text: [CLS], the tokens, [SEP]; no padding. An empty text has K = 2.

        Texts longer than the model's positions are cut. Batches hold texts of like length, so padding costs little.
        """
        import torch

        texts = [texts] if isinstance(texts, str) else list(texts)
        limit = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        encoded = [self.tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in texts]
        order = sorted(range(len(texts)), key=lambda number: len(encoded[number]))
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        while order:
            size = max(1, BATCH_TOKENS // len(encoded[order[-1]]))
            batch, order = order[-size:], order[:-size]
            longest = len(encoded[batch[-1]])
            pad = self.tokenizer.pad_token_id or 0
            ids = torch.tensor([encoded[number] + [pad] * (longest - len(encoded[number])) for number in batch])  # (B, K)
            mask = torch.tensor([[1] * len(encoded[number]) + [0] * (longest - len(encoded[number])) for number in batch])
            with torch.inference_mode():
                device = self.model.device
                hidden = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state  # (B, K, H)
            for number, rows in zip(batch, hidden.float().cpu().numpy(), strict=True):
                found[number] = rows[: len(encoded[number])].copy()
        return found

    def pooled(self, texts: Sequence[str], how: Literal["mean", "cls"] = "mean") -> np.ndarray:
        """One vector a text, (N, H) float32: the mean over all its tokens, or that of [CLS]."""
        if how not in ("mean", "cls"):
            raise VcemoError("unknown pooling", where=how, do='choose "mean" or "cls"')
        rows = [tokens.mean(0) if how == "mean" else tokens[0] for tokens in self.tokens(texts)]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)


def load_bert(name: str = BUNDLED, device: str = "cpu") -> TextEncoder:
    """A frozen BERT: "bundled" (`bert-mini-zh`), a name from the hub ("bert-base-chinese"), or a folder.

    Weights are read from safetensors only. A hub name is looked for in the local cache, then, unless VCEMO_OFFLINE is
    set, at the hub (HF_ENDPOINT honoured). Raises VcemoError if it can't be had.
    """
    return _load_bert(str(name), str(device))


@lru_cache(maxsize=4)
def _load_bert(name: str, device: str) -> TextEncoder:
    folder = weights.bundled(BUNDLED_BERT) if name == BUNDLED else Path(name)
    local = folder.is_dir()
    source = str(folder) if local else name
    try:
        tokenizer, model = _pretrained(source, local_files_only=True)
        origin = "cache"
    except Exception as missing:  # transformers raises OSError, ValueError and its hub's own kinds
        if local:
            remedy = "it needs config.json, a whole model.safetensors and the tokenizer's files"
            raise VcemoError("no encoder can be read from this folder", where=folder, do=remedy) from missing
        remedy = 'check the name and the network (HF_ENDPOINT may name a mirror), give a folder, or use "bundled"'
        if weights.offline() or not _hub_answers():
            raise VcemoError("this encoder is not on this machine and can't be fetched", where=name, do=remedy) from missing
        try:
            tokenizer, model = _pretrained(source)
            origin = "official"
        except Exception as error:
            raise VcemoError("the hub does not give this encoder", where=name, do=remedy) from error
    model = model.eval().requires_grad_(False).to(device)
    shown = BUNDLED_BERT if name == BUNDLED else name
    if local and name != BUNDLED:
        weights.record(shown, "user path", folder, weights.sha256(folder / "model.safetensors"))
    elif not local:
        weights.record(shown, origin, name)
    return TextEncoder(shown, model.config.hidden_size, tokenizer, model)


def _pretrained(source: str, **options: Any) -> tuple[Any, Any]:
    """Tokenizer and model of transformers; only safetensors are read, so that nothing is unpickled."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as chatter

    level, bar = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()  # it would warn of the pooler and the word predictor, which are not used here
    chatter.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        with torch.random.fork_rng(devices=[]):  # it draws weights for what the file lacks; a seed set before must hold
            return tokenizer, AutoModel.from_pretrained(source, use_safetensors=True, dtype=torch.float32, **options)
    finally:
        chatter.set_verbosity(level)
        if bar:
            chatter.enable_progress_bar()


def _hub_answers() -> bool:
    """Whether the hub is in reach, known within seconds: transformers itself would try for over a minute."""
    try:
        weights._open(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).close()
    except weights._Unavailable:
        return False
    return True
