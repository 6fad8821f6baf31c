"""Notebook 05: SupCon of one anchor, a hidden factor, a slow copy, and the smallest p a gain can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vcemo_lib.course.exercises import Exercise, Question

# ---- one anchor -----------------------------------------------------------------------------------------------------


def _judge_anchor(answer: Callable[..., Any]) -> str | None:
    import numpy as np

    rng = np.random.default_rng(3)
    z = rng.normal(size=(7, 4))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    labels, i, tau = np.array([0, 0, 1, 0, 2, 1, 0]), 3, 0.5
    e = np.exp(z @ z[i] / tau)  # (7,)
    others = np.arange(7) != i
    p = others & (labels == labels[i])
    terms = -np.log(e / e[others].sum())
    found = float(answer(z, labels, i, tau))
    if np.isclose(found, terms[p].mean()):
        return None
    if np.isclose(found, terms[p].sum()):
        return "you added the positives' terms up. The equation has 1/|P(i)| in front: an anchor of a common class would weigh more."
    if np.isclose(found, -np.log(e / e.sum())[p].mean()):
        return "your denominator holds the anchor itself. exp(z_i·z_i/τ) is its largest term, and nothing can be learned from it."
    if np.isclose(found, -np.log(e / e[labels != labels[i]].sum())[p].mean()):
        return "your denominator holds the negatives only. A(i) is everything but i: positives stand there too."
    if np.isclose(found, -np.log(e[p].mean() / e[others].sum())):
        return "you took the logarithm of the mean. The mean stands outside of it (Khosla et al. call this form L_out)."
    if np.isclose(found, -terms[p].mean()):
        return "the sign is missing: a logarithm of a share is negative, a loss is not."
    return "the number differs from the mean over the positives of -log(share of the positive among all others)."


def _solve_anchor() -> Callable[..., Any]:
    import numpy as np

    def anchor_loss(z, labels, i, tau):  # (N, D) of length one, (N,), an index, a number
        e = np.exp(z @ z[i] / tau)  # (N,)
        others = np.arange(len(z)) != i
        positives = others & (labels == labels[i])
        return -np.log(e[positives] / e[others].sum()).mean()

    return anchor_loss


def _anchor_wrongly(what: str) -> Callable[..., Any]:
    import numpy as np

    def anchor_loss(z: Any, labels: Any, i: int, tau: float) -> float:
        e, others = np.exp(z @ z[i] / tau), np.arange(len(z)) != i
        positives = others & (labels == labels[i])
        below = {"itself": e.sum(), "negatives": e[labels != labels[i]].sum()}.get(what, e[others].sum())
        terms = -np.log(e[positives] / below)
        return float(terms.sum() if what == "sum" else terms.mean())

    return anchor_loss


anchor = Exercise(
    "SupCon of one anchor",
    _judge_anchor,
    _solve_anchor,
    (
        "e = np.exp(z @ z[i] / tau) gives all N terms at once. Which of them belong below the line?",
        "Below: all but i. Above: one positive at a time. Then -log, then the mean over the positives.",
    ),
    "Right: everybody but the anchor below the line, one positive above it, the mean outside the logarithm.",
    {
        "a sum": (lambda: _anchor_wrongly("sum"), "1/|P(i)|"),
        "itself below": (lambda: _anchor_wrongly("itself"), "anchor itself"),
        "negatives only": (lambda: _anchor_wrongly("negatives"), "negatives only"),
    },
)


# ---- a hidden factor ------------------------------------------------------------------------------------------------


def _judge_factor(answer: float) -> str | None:
    found, want = float(answer), 0.1 * 1 / 0.07
    if abs(found - want) < 0.01 * want:
        return None
    if abs(found - 0.1 * 0.07) < 1e-3:
        return "you multiplied by 0.07. The code multiplies by temperature / base temperature, that is 1 / 0.07."
    if abs(found - 1 / 0.07) < 0.2:
        return "that is the factor itself. It multiplies the loss, so alpha = 0.1 acts as 0.1 times it."
    if abs(found - 0.1) < 1e-6:
        return "that would hold with a base temperature of 1. The code's default is 0.07."
    return "alpha · SupCon is multiplied by temperature / base temperature."


factor = Exercise(
    "The alpha you did not choose",
    _judge_factor,
    lambda: 0.1 * 1 / 0.07,
    ("The code multiplies the loss by temperature / base_temperature.", "0.1 · (1 / 0.07)"),
    "Right: the paper's alpha of 0.1 would silently act as 1.43.",
    {
        "multiplied": (lambda: 0.007, "multiplied by 0.07"),
        "the factor": (lambda: 14.29, "factor itself"),
        "unchanged": (lambda: 0.1, "base temperature of 1"),
    },
)


# ---- a slow copy ----------------------------------------------------------------------------------------------------


def _judge_steps(answer: Callable[[float, float], float]) -> str | None:
    import math

    for m, share in ((0.999, 0.99), (0.99, 0.5), (0.9, 0.9)):
        want, found = math.ceil(math.log(1 - share) / math.log(m)), float(answer(m, share))
        if abs(found - want) <= 1:
            continue
        if abs(found - share / (1 - m)) <= 2:
            return f"you let every update go the same distance ({found:.0f} updates). Each goes 1 - m of what is *left*, so the steps get shorter."
        if abs(found - math.log(share) / math.log(m)) <= 2:
            return "you solved m ** n = share. m ** n is what is left of the way, so it must equal 1 - share."
        return f"for m = {m} and a share of {share} it takes {want} updates, not {found:g}."
    return None


def _solve_steps() -> Callable[[float, float], float]:
    import math

    def updates(m, share):  # after n updates m ** n of the way is left
        return math.ceil(math.log(1 - share) / math.log(m))

    return updates


def _log_share(m: float, share: float) -> float:
    import math

    return math.log(share) / math.log(m)


slow = Exercise(
    "How late is the slow copy?",
    _judge_steps,
    _solve_steps,
    ("After one update 1 - m of the way is done and m is left. After two?", "m ** n = 1 - share; take logarithms."),
    "Right: what is left shrinks by m with every update.",
    {
        "a straight line": (lambda: lambda m, share: share / (1 - m), "same distance"),
        "the other share": (lambda: _log_share, "what is left"),
    },
)


# ---- the smallest p -------------------------------------------------------------------------------------------------


def _judge_least(answer: Callable[[int], float]) -> str | None:
    import math

    for gain in (1, 3, 6):
        want, found = min(1.0, 2 * 0.5**gain), float(answer(gain))
        if math.isclose(found, want, rel_tol=1e-6):
            continue
        if math.isclose(found, 0.5**gain, rel_tol=1e-6):
            return "that is the one-sided p. Nobody knew beforehand which model would win: count both sides, twice as much."
        return f"a gain of {gain} with no loss against it has p = {want:g}, not {found:g}."
    return None


def _solve_least() -> Callable[[int], float]:
    def least_p(gain):  # best case: `gain` utterances only the new model has right, none only the old one
        return min(1.0, 2 * 0.5**gain)

    return least_p


least = Exercise(
    "The best case of a gain",
    _judge_least,
    _solve_least,
    (
        "McNemar's test tosses a coin for each utterance that only one of the two models has right.",
        "Best case: all `gain` tosses fall the same way. Two-sided: either way would have been told.",
    ),
    "Right: with three utterances no test can say more than p = 0.25, whatever the other 727 did.",
    {"one side": (lambda: lambda gain: 0.5**gain, "one-sided")},
)


# ---- quiz -----------------------------------------------------------------------------------------------------------

QUIZ = (
    Question(
        "The SupCon curve of a run at τ = 1 stops falling near 3.2. Is the training broken?",
        (
            ("Yes, a loss should go to 0.", False, "At τ = 1 all exponents lie between e⁻¹ and e. Even perfect classes keep a positive loss, because positives share the denominator."),
            ("No, look at the floor for this batch and these classes.", True, "The floor depends on batch size, class shares and τ. Only the distance to it means something."),
            ("It needs a larger learning rate.", False, "No step size goes below the floor."),
        ),
    ),
    Question(
        "Why does the paper's sum over anchors make alpha depend on the batch size?",
        (
            ("A larger batch has more anchors, so the sum grows with it.", True, "Twice the batch, about twice the sum, while the cross-entropy is a mean. α = 0.1 would mean another thing at every batch size."),
            ("It does not: SupCon is normalised.", False, "1/|P(i)| normalises over positives, not over anchors."),
            ("Because of the queue.", False, "It grows without any queue."),
        ),
    ),
    Question(
        "Two runs differ by 1.5 points of UA on one seed. What do you report?",
        (
            ("The better one, with its seed.", False, "Then the seed was chosen on the test part."),
            ("Several seeds, the difference on the same utterances, and its interval over speakers.", True, "That says how much of it another start and other speakers would leave."),
            ("A t-test over utterances.", False, "Clips of one speaker are right or wrong together. They are no independent tosses."),
        ),
    ),
    Question(
        "You train on the unanimous utterances only, and on all of them. The second model is better. Did the ambiguous labels help?",
        (
            ("Yes: the only thing that changed is the ambiguity.", False, "The size changed too, and the mix of emotions. More utterances help whatever their labels are like."),
            ("One cannot tell: draw both parts with the same size and as many of each emotion.", True, "Then what is left is what the raters agreed on. That is how the dials of this notebook are turned."),
            ("One can tell if the test part is unanimous as well.", False, "That changes what is asked, not what was learned from. The test part has to be the same for both."),
        ),
    ),
    Question(
        "What must a checkpoint hold, so that a resumed run ends like one that was never stopped?",
        (
            ("The weights.", False, "Adam also keeps two averages for every weight, and the schedule must know its step."),
            ("Weights, optimizer, queue and key encoder, the best weights so far, the history; and chance must depend on seed and epoch only.", True, "Then nothing that decides the next update is lost."),
            ("The loss curve.", False, "That shows how it went, but nothing can go on from it."),
        ),
    ),
)
