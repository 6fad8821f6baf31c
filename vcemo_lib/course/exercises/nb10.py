"""Notebook 10: the least gain that a test part can show, and the test sizes that a table allows."""

from scipy.stats import binomtest

from vcemo_lib.course.exercises import Notebook

notebook = Notebook("10")
QUIZ = notebook.quiz


def _gain(differ: int, sides: str = "two-sided", level: float = 0.05) -> int | None:
    gains = range(differ % 2, differ + 1, 2)
    p = [binomtest((differ + gain) // 2, differ, 0.5, sides).pvalue for gain in gains]
    return next((gain for gain, value in zip(gains, p, strict=True) if value < level), None)


# ------------------------------------------------------------------------------------------ 1: the least gain
@notebook.exercise(
    cases=((6,), (3,), (40,), (41,), (5,), (219,), (12,)),
    mistakes=dict(
        one_sided=lambda differ: _gain(differ, "greater"), best_case=lambda differ: 6 if differ > 5 else None,
        right=lambda differ: None if _gain(differ) is None else (differ + _gain(differ)) // 2,
        root=lambda differ: 1.96 * differ**0.5, strict=lambda differ: _gain(differ, level=0.01),
    ),
)  # fmt: skip
def least_gain(differ):  # utterances that only one of the two models has right
    from scipy.stats import binomtest

    for gain in range(differ % 2, differ + 1, 2):  # a + b = differ and a - b = gain
        if binomtest((differ + gain) // 2, differ).pvalue < 0.05:
            return gain
    return None


# --------------------------------------------------------------------------- 2: the sizes that a table allows
_TABLES = (
    *(([50.0, 25.0], 2, 12), ([29.0, 57.0], 95, 105), ([33.33, 66.67], 1, 12), ([12.34], 1, 40)),
    *(([65.51, 65.37, 61.36, 57.89, 58.16], 700, 800), ([40.0, 60.0, 12.5], 40, 80)),
)


def _sizes(printed, smallest, largest, *, how=all, within=0.00501, whole=round):
    sizes = range(smallest, largest + 1)
    fit = [[abs(100 * whole(p / 100 * n) / n - p) < within for p in printed] for n in sizes]
    return [n for n, own in zip(sizes, fit, strict=True) if how(own)]


@notebook.exercise(
    cases=_TABLES,
    mistakes=dict(
        some=lambda *table: _sizes(*table, how=any), exact=lambda *table: _sizes(*table, within=1e-9),
        generous=lambda *table: _sizes(*table, within=0.05), cut=lambda *table: _sizes(*table, whole=int),
        short=lambda printed, smallest, largest: _sizes(printed, smallest, largest - 1),
        one=lambda *table: _sizes(*table)[:1],
    ),
)  # fmt: skip
def sizes(printed, smallest, largest):  # percentages with two decimals; both ends count
    def fits(p, n):
        return f"{100 * round(p / 100 * n) / n:.2f}" == f"{p:.2f}"

    return [n for n in range(smallest, largest + 1) if all(fits(p, n) for p in printed)]
