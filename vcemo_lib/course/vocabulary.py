"""What word vectors know, for notebook 03: the neighbours of a word, and the words that have no vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib.errors import VcemoError
from vcemo_lib.text import word_vectors, words

if TYPE_CHECKING:
    from spacy.language import Language


def coverage(texts: Iterable[str], nlp: Language) -> dict[str, Any]:
    """Shares of running words that the vectors know `whole`, `by_characters`, or not; and what is lacking."""
    counts = Counter(word for text in texts for word in words(text, nlp))
    whole = {word for word in counts if nlp.vocab.has_vector(word) or nlp.vocab.has_vector(word.lower())}
    known = {word for word in counts if word_vectors([word], nlp).any()}
    groups = {"whole": whole, "by_characters": known - whole, "unknown": counts.keys() - known}
    total = max(counts.total(), 1)
    shares = {kind: sum(counts[word] for word in group) / total for kind, group in groups.items()}
    lacking = Counter({word: count for word, count in counts.items() if word not in whole})
    return {**shares, "lacking": lacking.most_common(10)}


def nearest(
    query: str | np.ndarray, nlp: Language, n: int = 8, without: Iterable[str] = ()
) -> list[tuple[str, float]]:
    """The n words of largest cosine with a word's vector, or a vector (300,): [(word, cosine), ...].

    The word itself and those in `without` are left out. Raises VcemoError where nothing is known of the word.
    """
    left_out = {*without, query} if isinstance(query, str) else set(without)
    vector = word_vectors([query], nlp)[0] if isinstance(query, str) else np.asarray(query, np.float32)
    if not vector.any():
        raise VcemoError("no vector for this", where=str(query)[:20], do="try a commoner word")
    keys, _, cosines = nlp.vocab.vectors.most_similar(vector[None], n=n + len(left_out))
    found = [(nlp.vocab.strings[int(key)], float(c)) for key, c in zip(keys[0], cosines[0], strict=True)]
    return [pair for pair in found if pair[0] not in left_out][:n]
