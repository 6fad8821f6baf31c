"""Notebook 05: SupCon of one anchor, a hidden factor, a slow copy, and the smallest p a gain can have."""

import numpy as np

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("05")
QUIZ = notebook.quiz


def _anchors() -> list[Case]:
    """(points of length one, labels, an anchor that has positives, a temperature)."""
    rng = np.random.default_rng(3)
    cases: list[Case] = []
    for labels, i, tau in (("0010210", 3, 0.5), ("101220", 0, 1.0), ("2212", 1, 0.1)):
        z = rng.normal(size=(len(labels), 4))
        cases.append((z / np.linalg.norm(z, axis=1, keepdims=True), np.array([*map(int, labels)]), i, tau))
    return cases


def _terms(z: np.ndarray, labels: np.ndarray, i: int, tau: float, below: str = "others") -> np.ndarray:
    """-log of each positive's share among those below the line."""
    e, others = np.exp(z @ z[i] / tau), np.arange(len(z)) != i
    rows = {"others": others, "all": others | True, "negatives": labels != labels[i]}[below]
    return -np.log(e / e[rows].sum())[others & (labels == labels[i])]


@notebook.exercise(
    cases=_anchors,
    mistakes=dict(
        sum=lambda *case: _terms(*case).sum(),
        itself=lambda z, labels, i, tau: _terms(z, labels, i, tau, "all").mean(),
        negatives=lambda z, labels, i, tau: _terms(z, labels, i, tau, "negatives").mean(),
        log_of_mean=lambda *case: -np.log(np.exp(-_terms(*case)).mean()),
        sign=lambda *case: -_terms(*case).mean(),
        no_tau=lambda z, labels, i, tau: _terms(z, labels, i, 1.0).mean(),
        no_i=lambda z, labels, i, tau: _terms(z, labels, 0, tau).mean(),
    ),
)
def anchor_loss(z, labels, i, tau):  # (N, D) of length one, (N,), an index, a number
    e = np.exp(z @ z[i] / tau)  # (N,)
    others = np.arange(len(z)) != i
    positives = others & (labels == labels[i])
    return -np.log(e[positives] / e[others].sum()).mean()


@notebook.exercise(
    cases=((0.3, 0.14, 0.07), (0.1, 1.0, 0.07), (0.1, 0.07, 0.07), (100.0, 0.5, 0.2)),
    tolerance=0.005,  # rounded to two decimals
    mistakes=dict(
        multiplied=lambda alpha, temperature, base: alpha * temperature * base,
        factor=lambda alpha, temperature, base: temperature / base,
        unchanged=lambda alpha, temperature, base: alpha,
        inverse=lambda alpha, temperature, base: alpha * base / temperature,
        always_one=lambda alpha, temperature, base: alpha / base,
    ),
)
def true_alpha(alpha, temperature, base):
    return alpha * temperature / base


@notebook.exercise(
    cases=((0.999, 0.99), (0.99, 0.5), (0.9, 0.9), (0.995, 0.25)),
    tolerance=1.0,  # rounded or not
    mistakes=dict(
        straight=lambda m, share: share / (1 - m),
        other_share=lambda m, share: np.log(share) / np.log(m),
        time_constant=lambda m, share: 1 / (1 - m),
        sign=lambda m, share: -np.log(1 - share) / np.log(m),
    ),
)
def updates_needed(m, share):  # after n updates m ** n of the way is left
    return np.ceil(np.log(1 - share) / np.log(m))


@notebook.exercise(
    cases=((3,), (1,), (6,), (12,), (0,)),
    mistakes=dict(
        one_side=lambda gain: 0.5**gain,
        above_one=lambda gain: 2 * 0.5**gain,
        complement=lambda gain: 1 - 0.5**gain,
        halved=lambda gain: 0.5 ** (gain + 1),
    ),
)
def least_p(gain):  # best case: `gain` utterances only the new model has right, none only the old one
    return min(1.0, 2 * 0.5**gain)
