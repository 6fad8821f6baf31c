"""Notebook 04: attention by hand, a mean that knows padding, and a rival reading of the paper."""

from typing import Any

from vcemo_lib.course.exercises import Case, Notebook

notebook = Notebook("04")
QUIZ = notebook.quiz


def _queries() -> list[Case]:
    """(q, k, v, mask) of several widths; what is masked need not stand at the end."""
    import torch

    rng = torch.Generator().manual_seed(0)
    cases: list[Case] = []
    for width, queries, real in ((16, 4, (1, 1, 1, 0, 0)), (9, 2, (1, 0, 1, 1)), (64, 7, (0, 1, 1, 0, 1, 1))):
        q, k, v = (torch.randn(steps, width, generator=rng) for steps in (queries, len(real), len(real)))
        cases.append((q, k, v, torch.tensor(real, dtype=torch.bool)))
    return cases


def _wrongly(power: float = 0.5, mask: str = "before", dim: int = -1) -> Any:
    """Attention with scores divided by d to some power, masked somewhere, with a softmax over some axis."""

    def attend(q: Any, k: Any, v: Any, real: Any) -> Any:
        scores = q @ k.T / q.shape[-1] ** power
        if mask in ("before", "inverted"):
            scores = scores.masked_fill(real if mask == "inverted" else ~real, float("-inf"))
        weights = scores.softmax(dim).nan_to_num()
        return (weights * real if mask == "after" else weights) @ v

    return attend


@notebook.exercise(
    cases=_queries,
    tolerance=1e-5,
    mistakes=dict(
        unscaled=_wrongly(power=0),
        by_d=_wrongly(power=1),
        late=_wrongly(mask="after"),
        unmasked=_wrongly(mask="never"),
        inverted=_wrongly(mask="inverted"),
        over_queries=_wrongly(dim=0),
    ),
)
def attend(q, k, v, mask):  # (T, d), (S, d), (S, d), (S,) -> (T, d)
    scores = q @ k.T / q.shape[-1] ** 0.5  # (T, S)
    scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ v


def _padded() -> list[Case]:
    """(x, mask): two clips with zeros in the padding, the same with junk in it, and three others."""
    import torch

    x = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.arange(4) < torch.tensor([[4], [1]])
    other = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1))
    padded = [(x.masked_fill(~mask[..., None], junk), mask) for junk in (0.0, 99.0)]
    return [*padded, (other, torch.arange(5) < torch.tensor([[5], [2], [3]]))]


@notebook.exercise(
    cases=_padded,
    tolerance=1e-5,
    mistakes=dict(
        all_steps=lambda x, mask: x.mean(1),
        zeros=lambda x, mask: x.sum(1) / mask.sum(1, keepdim=True),
        sum=lambda x, mask: (x * mask[..., None]).sum(1),
        batch_steps=lambda x, mask: (x * mask[..., None]).sum(1) / mask.sum(),
        batch=lambda x, mask: x[mask].mean(0).expand(len(x), -1),
    ),
)
def masked_mean(x, mask):  # (B, T, d), (B, T) -> (B, d)
    total = (x * mask[..., None]).sum(dim=1)  # (B, d)
    return total / mask.sum(dim=1, keepdim=True)


def _variants() -> list[Case]:
    from vcemo_lib.models import paper, tutorial

    return [(paper(),), (tutorial(layers=2),), (paper(heads=4, guides=("audio", "fused")),)]


@notebook.exercise(
    cases=_variants,
    mistakes=dict(
        unchanged=lambda settings: settings,
        guides=lambda settings: settings.but(guides=("audio", "fused")),
    ),
)
def rival(settings):  # Settings -> the same but for one field
    return settings.but(guided_by="same_depth")
