"""Measure the bundled encoders: how much do they know of the feeling in a text when labels are few?

Weibo posts of `smp2020_usual_eval` (six emotions), which no encoder was trained on (asserted). Ten stratified
draws of 200 labelled posts; frozen features, centred and of unit length; logistic regression (C = 10) with
balanced classes; macro-F1 on the other posts. Beside them TF-IDF of character 1- to 3-grams and the teacher
(its vectors by teach.py). Prints the table, writes data/models/encoders.json, and sets the table into
data/models/README.md.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import vcemo_lib  # isort: skip  # noqa: F401  first: it mends torchaudio for transformers beside a CPU-only torch

import numpy as np
import torch
from corpus import arguments, check_disjoint, evaluation_lines, training_lines
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from teach import evaluation_key, load

from vcemo_lib import text

DRAWS, LABELLED = 10, 200
WANTED = {"bert-mini-zh": 0.46, "vectors-zh": 0.42}
# where its table stands in data/models/README.md
START, END = "<!-- measured by evaluate.py -->", "<!-- end -->"
MODELS = Path(__file__).resolve().parents[2] / "models"


def classifier(kind: str):
    """The one classifier for every feature: rows of unit length (TF-IDF's are), then logistic regression."""
    scaled = (StandardScaler(with_std=False), Normalizer())
    first = (TfidfVectorizer(analyzer="char", ngram_range=(1, 3)),) if kind == "text" else scaled
    return make_pipeline(*first, LogisticRegression(C=10, class_weight="balanced", max_iter=1000))


def macro_f1(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Macro-F1 of each draw, (10,)."""
    kind = "text" if features.dtype == object else "dense"
    rest = len(labels) - LABELLED
    draws = StratifiedShuffleSplit(DRAWS, train_size=LABELLED, test_size=rest, random_state=0)
    found = []
    for train, test in draws.split(features, labels):
        model = classifier(kind).fit(features[train], labels[train])
        found.append(f1_score(labels[test], model.predict(features[test]), average="macro"))
    return np.array(found)


def posts_of(texts: Path) -> tuple[list[str], np.ndarray]:
    """The evaluation posts and their labels, (N,)."""
    rows = json.loads((texts / "smp2020_usual_eval.json").read_text(encoding="utf-8"))
    return evaluation_lines(texts), np.array([row["label"] for row in rows])


def features_of(posts: list[str]) -> dict[str, np.ndarray]:
    """What is compared: the posts themselves (for TF-IDF) and the bundled encoders' features, (N, width)."""
    bert, nlp = text.load_bert(), text.load_words()
    empty = np.zeros((1, nlp.vocab.vectors_length), np.float32)

    def mean(post: str) -> np.ndarray:
        """The sum of the known words' vectors over the number of all words, (300,)."""
        found = np.concatenate([empty, text.word_vectors(post, nlp)])
        return found.sum(0) / max(1, len(text.words(post, nlp)))

    return {
        "TF-IDF, characters 1-3": np.array(posts, object),
        "vectors-zh": np.stack([mean(post) for post in posts]),
        "bert-mini-zh": bert.pooled(posts),
        "bert-mini-zh, [CLS]": bert.pooled(posts, "cls"),
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    check_disjoint(training_lines(options.texts), options.texts)
    posts, labels = posts_of(options.texts)
    nlp, features = text.load_words(), features_of(posts)
    known, vectors = load(options.work)
    if all(evaluation_key(post) in known for post in posts):
        rows = [known[evaluation_key(post)] for post in posts]
        features["teacher, 384 wide"] = vectors[rows].astype(np.float32)
    table = {}
    for name, values in features.items():
        started, scores = time.time(), macro_f1(values, labels)
        mean, spread = float(scores.mean()), float(scores.std(ddof=1))
        table[name] = {"macro_f1": round(mean, 4), "spread": round(spread, 4)}
        print(f"{name:26s} {mean:.3f} +- {spread:.3f}  ({time.time() - started:.0f} s)", flush=True)
    in_bytes = {name: sum(path.stat().st_size for path in (MODELS / name).iterdir()) for name in WANTED}
    sizes = {name: round(size / 1e6, 2) for name, size in in_bytes.items()}
    counts = Counter(word for post in posts for word in text.words(post, nlp))
    whole = {word for word in counts if nlp.vocab.has_vector(word) or nlp.vocab.has_vector(word.lower())}
    known = {word for word in counts if text.word_vectors([word], nlp).any()}
    groups = {"whole": whole, "by_characters": known - whole, "unknown": counts.keys() - known}
    covered = {kind: sum(counts[word] for word in group) / counts.total() for kind, group in groups.items()}
    log = (options.work / "bert-log.jsonl").read_text(encoding="utf-8").splitlines()
    result = {
        "measure": f"smp2020_usual_eval, {LABELLED} labelled posts, {DRAWS} draws, macro-F1: mean and "
                   "standard deviation of the draws",
        "encoders": table, "wanted": WANTED, "megabytes": sizes, "vectors": len(nlp.vocab.vectors),
        "coverage": {kind: round(share, 4) for kind, share in covered.items()},
        "bert_training": json.loads(log[-1]),
    }  # fmt: skip
    whole = json.dumps(result, ensure_ascii=False, indent=2) + "\n"
    (MODELS / "encoders.json").write_text(whole, encoding="utf-8")
    lines = ["| feature | macro-F1 | spread over draws |", "|---|---|---|"]
    lines += [f"| {name} | {row['macro_f1']:.3f} | {row['spread']:.3f} |" for name, row in table.items()]
    readme = (MODELS / "README.md").read_text(encoding="utf-8")
    before, after = readme.split(START)[0], readme.split(END)[1]
    (MODELS / "README.md").write_text("\n".join([before + START, *lines, END + after]), encoding="utf-8")
    for name, least in WANTED.items():
        verdict = "holds" if table[name]["macro_f1"] >= least else "DOES NOT HOLD"
        print(f"{name}: {sizes[name]} MB, wanted {least}: {verdict}")


if __name__ == "__main__":
    main()
