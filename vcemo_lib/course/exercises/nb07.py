"""Notebook 07: a hop of attention, recall and precision, many tests at once, and what is the architecture's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vcemo_lib.course.exercises import Exercise, Question

# ---- whose gain is it ------------------------------------------------------------------------------------------------

WITHOUT_BERT, UMONS, OURS, OURS_SUPCON = 65.21, 63.27, 66.99, 67.40  # accuracy on VCEMO, four classes, as printed


def _judge_share(answer: float) -> str | None:
    found = float(answer)
    if found > 1.5:
        return "give a share between 0 and 1, not points or per cent."
    if abs(found - (OURS - WITHOUT_BERT) / (OURS - UMONS)) < 0.004:
        return None
    if abs(found - (WITHOUT_BERT - UMONS) / (OURS - UMONS)) < 0.004:
        return "that is the share left to the architecture: it is there without BERT too. What does BERT add on top of it?"
    if abs(found - (OURS_SUPCON - WITHOUT_BERT) / (OURS_SUPCON - UMONS)) < 0.004:
        return "you took the row with SupCon: then part of your share is SupCon's. Take 'Ours' on both sides."
    return "the whole step is 'Ours' minus UMONS; BERT's part is 'Ours' minus 'Embedding + Acoustic'. Divide the second by the first."


share = Exercise(
    "Whose gain is it?",
    _judge_share,
    lambda: (66.99 - 65.21) / (66.99 - 63.27),
    ("UMONS reads audio and words. Which row of Table 3 is VCEMO with the same two?", "BERT's part: 66.99 - 65.21. The whole step: 66.99 - 63.27."),
    "Right: by the paper's own figures nearly half of the step over UMONS is BERT's, which UMONS was never given.",
    {
        "the architecture's": (lambda: (65.21 - 63.27) / (66.99 - 63.27), "left to the architecture"),
        "with SupCon": (lambda: (67.40 - 65.21) / (67.40 - 63.27), "SupCon's"),
        "points": (lambda: 1.78, "between 0 and 1"),
    },
)


# ---- one hop ---------------------------------------------------------------------------------------------------------


def _judge_hop(answer: Callable[..., Any]) -> str | None:
    import numpy as np

    rng = np.random.default_rng(0)
    query, source, mask = rng.normal(size=8), rng.normal(size=(6, 8)), np.array([True] * 4 + [False] * 2)
    source[4:] = 0.0  # padding

    def right(scale: float = 1.0, keep: Any = mask) -> Any:
        weights = np.where(keep, np.exp(source @ query * scale), 0.0)
        return weights / weights.sum() @ source

    found = np.asarray(answer(query, source, mask), float)
    if found.shape != (8,):
        return f"the answer of a hop is one vector, here of shape (8,); yours has {found.shape}."
    if np.allclose(found, right()):
        return None
    if np.allclose(found, right(keep=np.ones(6, bool))):
        return "padded steps got weight: a score of 0 is not no score, as exp(0) is 1. Take them out before the softmax."
    if np.allclose(found, right(scale=8**-0.5)):
        return "you divided the scores by the root of d, as Transformers do. Yoon's hop is the plain dot product."
    if np.allclose(found, source[:4].mean(axis=0)):
        return "that is the plain mean: the query has no say. Weigh each step by its dot product with the query."
    return "scores are source @ query; a softmax over the real steps makes weights; the weighted sum of the source is the answer."


def _solve_hop() -> Callable[..., Any]:
    import numpy as np

    def hop(query, source, mask):  # (d,), (T, d), (T,) True where real -> (d,)
        scores = np.where(mask, source @ query, -np.inf)
        weights = np.exp(scores - scores.max())
        return weights / weights.sum() @ source

    return hop


def _hop_wrongly(what: str) -> Callable[..., Any]:
    import numpy as np

    def hop(query: Any, source: Any, mask: Any) -> Any:
        scores = source @ query * (8**-0.5 if what == "scaled" else 1.0)
        if what == "zeroed":
            scores = scores * mask
        weights = np.exp(scores)
        if what == "scaled":
            weights = weights * mask
        return weights / weights.sum() @ source if what != "mean" else source[mask].mean(axis=0)

    return hop


hop = Exercise(
    "One hop of attention",
    _judge_hop,
    _solve_hop,
    ("One score a step: source @ query.", "np.where(mask, scores, -np.inf) takes padding out; then softmax, then weights @ source."),
    "Right. Hop 2 is the same function, asked with what hop 1 has found.",
    {
        "padding scored 0": (lambda: _hop_wrongly("zeroed"), "exp(0) is 1"),
        "scaled": (lambda: _hop_wrongly("scaled"), "plain dot product"),
        "no query": (lambda: _hop_wrongly("mean"), "plain mean"),
    },
)


# ---- precision printed as accuracy -----------------------------------------------------------------------------------


def _judge_recall(answer: Callable[[Any], float]) -> str | None:
    import numpy as np

    table = np.array([[30, 5, 5], [10, 40, 10], [8, 1, 1]])  # true classes in rows
    right = np.diagonal(table)
    recall, precision, accuracy = (right / table.sum(1)).mean(), (right / table.sum(0)).mean(), right.sum() / table.sum()
    found = float(answer(table))
    if np.isclose(found, recall):
        return None
    if np.isclose(found, precision):
        return f"that is the mean precision ({precision:.3f}): of what was called angry, how much is angry. UA is the mean recall ({recall:.3f}): divide by the rows."
    if np.isclose(found, accuracy):
        return f"that is WA, the accuracy ({accuracy:.3f}): each utterance counts the same. In UA each class does."
    return f"on {table.tolist()} the mean recall is {recall:.3f}, yours is {found:.3f}."


recall = Exercise(
    "UA from a confusion matrix",
    _judge_recall,
    lambda: lambda table: (table.diagonal() / table.sum(axis=1)).mean(),
    ("The diagonal holds what was right.", "True classes stand in rows, so a class has table.sum(axis=1) utterances."),
    "Right: the mean recall. By rows or by columns is all the difference to precision, and no error message tells.",
    {
        "by columns": (lambda: lambda table: (table.diagonal() / table.sum(axis=0)).mean(), "mean precision"),
        "accuracy": (lambda: lambda table: table.diagonal().sum() / table.sum(), "WA"),
    },
)


# ---- many tests ------------------------------------------------------------------------------------------------------


def _judge_holm(answer: Callable[[Any], Any]) -> str | None:
    import numpy as np

    p = np.array([0.04, 0.001, 0.012, 0.3, 0.011])
    want = np.array([0.08, 0.005, 0.044, 0.3, 0.044])
    found = np.asarray(answer(p), float)
    if found.shape != p.shape:
        return f"give one adjusted p a test: {p.shape}, not {found.shape}."
    if np.allclose(found, want):
        return None
    if np.allclose(found, np.minimum(p * 5, 1)):
        return "that is Bonferroni's: every p pays for all tests. Holm lets the next larger one pay for one test less."
    if np.allclose(found, np.sort(want)):
        return "the values are right, but sorted: give them back in the order of the tests."
    if np.allclose(np.sort(found), np.sort([0.005, 0.044, 0.036, 0.08, 0.3])):
        return "a larger p must not become smaller than a smaller one: 0.012 * 3 is less than 0.011 * 4. Take the running maximum."
    return f"for p = {p.tolist()} it is {want.tolist()}, yours is {np.round(found, 3).tolist()}."


def _solve_holm() -> Callable[[Any], Any]:
    import numpy as np

    def holm(p):  # (m,) -> (m,), in the same order
        order = np.argsort(p)
        paid = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
        adjusted = np.empty(len(p))
        adjusted[order] = np.minimum(paid, 1)
        return adjusted

    return holm


def _holm_wrongly(what: str) -> Callable[[Any], Any]:
    import numpy as np

    def holm(p: Any) -> Any:
        if what == "bonferroni":
            return np.minimum(p * len(p), 1)
        paid = np.sort(p) * np.arange(len(p), 0, -1)
        if what == "sorted":
            return np.maximum.accumulate(paid)
        return paid[np.argsort(np.argsort(p))]

    return holm


holm = Exercise(
    "Pay for looking often",
    _judge_holm,
    _solve_holm,
    ("Sort the m values. The smallest is multiplied by m, the next by m - 1, ...", "Then a running maximum, at most 1, and back into the old order."),
    "Right. Eight models make 28 pairs: at 0.05, one or two would differ by chance alone.",
    {
        "all pay for all": (lambda: _holm_wrongly("bonferroni"), "Bonferroni"),
        "left sorted": (lambda: _holm_wrongly("sorted"), "order of the tests"),
        "no running maximum": (lambda: _holm_wrongly("steps"), "running maximum"),
    },
)


# ---- quiz ------------------------------------------------------------------------------------------------------------

QUIZ = (
    Question(
        "Model A reads audio, words and BERT; model B reads audio and words. A is better by four points. Is A's architecture better?",
        (
            ("Yes, four points are a lot.", False, "The points may come from what A was given to read."),
            ("That cannot be told; give both the same inputs first.", True, "Here: the row 'VCEMO, audio and words' beside the rivals."),
            ("No, B's is better: it needs less.", False, "Nothing was shown about that either."),
        ),
    ),
    Question(
        "All models were trained with the settings that were chosen for VCEMO. Whom does that favour?",
        (
            ("Nobody, all had the same.", False, "The same settings are not equally good for all; these were chosen where VCEMO did well."),
            ("VCEMO, if anybody.", True, "A rival tuned with the same care might do better. So a rival that wins anyhow wins clearly."),
            ("The smallest model.", False, "Perhaps, perhaps not; but the settings were chosen by looking at VCEMO."),
        ),
    ),
    Question(
        "A paper picks the epoch that is best on the fold it reports. What does that do to its score?",
        (
            ("Nothing, the fold was not trained on.", False, "The best of fifty noisy numbers is too high, even if nothing was trained on the fold."),
            ("It makes it too high, and a figure from a clean protocol cannot be set beside it.", True, "emotion2vec's own table shows the inflation: 71.79 becomes 74.48 on IEMOCAP."),
            ("It makes it too low.", False, "A maximum is never below the mean."),
        ),
    ),
    Question(
        "In the critical-difference picture, one bar joins two models. What does it say?",
        (
            ("They are equally good.", False, "No difference was shown. With more speakers or seeds there might be one."),
            ("This test does not show that they differ.", True, "Absence of evidence; look at the interval of the difference to see how large it could be."),
            ("The right one is better, but not by much.", False, "The interval of their difference reaches to the other side of zero."),
        ),
    ),
)
