"""Notebook 04: attention by hand, a mean that knows padding, and one rival reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vcemo_lib.course.exercises import Exercise, Question

# ---- attention ------------------------------------------------------------------------------------------------------


def _judge_attend(answer: Callable[..., Any]) -> str | None:
    import torch

    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(steps, 16, generator=generator) for steps in (4, 5, 5))
    mask = torch.tensor([True, True, True, False, False])

    def attend(scale: float, where: str = "before", axis: int = -1) -> torch.Tensor:
        scores = q @ k.T / scale
        if where == "before":
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = scores.softmax(axis)
        return (weights * mask if where == "after" else weights) @ v

    found = answer(q, k, v, mask)
    if not isinstance(found, torch.Tensor) or found.shape != (4, 16):
        return f"four queries of width 16 should give a tensor (4, 16), not {tuple(getattr(found, 'shape', ()))}."
    same = lambda other: torch.allclose(found, other, atol=1e-5)  # noqa: E731
    if same(attend(4.0)):
        return None
    if same(attend(1.0)):
        return "the scores are not scaled: without dividing by √d the softmax of wide vectors is nearly all or nothing."
    if same(attend(16.0)):
        return "you divided by d, not by its square root."
    if same(attend(4.0, "after")):
        return "you masked after the softmax: padding has no weight then, but what is left does not add up to 1. Set its scores to -inf before."
    if same(attend(4.0, "never")):
        return "padding still gets weight: the last two keys are not real."
    if same(torch.nan_to_num(attend(4.0, axis=0))):
        return "your softmax runs over the queries. It must run over the keys (dim=-1): each query shares out one unit of attention."
    return "the numbers differ from softmax(q kᵀ / √d) v over the three real keys."


def _solve_attend() -> Callable[..., Any]:
    import math

    def attend(q, k, v, mask):  # (T, d), (S, d), (S, d), (S,)
        scores = q @ k.T / math.sqrt(q.shape[-1])  # (T, S)
        scores = scores.masked_fill(~mask, -math.inf)
        return scores.softmax(dim=-1) @ v  # (T, d)

    return attend


def _attend_wrongly(scale: Callable[[int], float], late: bool = False) -> Callable[..., Any]:
    def attend(q: Any, k: Any, v: Any, mask: Any) -> Any:
        scores = q @ k.T / scale(q.shape[-1])
        return (scores.softmax(-1) * mask if late else scores.masked_fill(~mask, float("-inf")).softmax(-1)) @ v

    return attend


attend = Exercise(
    "Attention with a mask",
    _judge_attend,
    _solve_attend,
    (
        "Three lines: scores (T, S), the mask, softmax times v.",
        "scores.masked_fill(~mask, -math.inf) works along the last axis, the keys.",
    ),
    "Right: scaled, masked before the softmax, one unit of attention a query.",
    {
        "no scale": (lambda: _attend_wrongly(lambda d: 1.0), "not scaled"),
        "scaled by d": (lambda: _attend_wrongly(lambda d: float(d)), "square root"),
        "masked too late": (lambda: _attend_wrongly(lambda d: d**0.5, late=True), "after the softmax"),
    },
)


# ---- a mean that knows padding ----------------------------------------------------------------------------------------


def _judge_mean(answer: Callable[[Any, Any], Any]) -> str | None:
    import torch

    x = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    x = x.masked_fill(~mask[..., None], 0.0)
    want = torch.stack([x[0].mean(0), x[1, 0]])
    found = answer(x, mask)
    if not isinstance(found, torch.Tensor) or found.shape != (2, 3):
        return f"(B, T, d) = (2, 4, 3) should become (2, 3), not {tuple(getattr(found, 'shape', ()))}."
    if torch.allclose(found, want):
        junk = torch.where(mask[..., None], x, torch.full_like(x, 99.0))
        if not torch.allclose(answer(junk, mask), want):
            return "that is right only while padding is zero. Multiply by the mask, and what lies in the padding no longer matters."
        return None
    if torch.allclose(found, x.mean(1)):
        return "you divided by all four steps. The second clip has one real step: its mean came out four times too small, so short clips would look quiet."
    return "the mean of each clip's real steps is wanted: their sum divided by their number."


def _solve_mean() -> Callable[[Any, Any], Any]:
    def masked_mean(x, mask):  # (B, T, d), (B, T)
        total = (x * mask[..., None]).sum(dim=1)  # (B, d)
        return total / mask.sum(dim=1, keepdim=True)

    return masked_mean


mean = Exercise(
    "A mean that knows padding",
    _judge_mean,
    _solve_mean,
    ("mask.sum(dim=1) is the number of real steps of each clip.", "mask[..., None] has shape (B, T, 1) and can be multiplied with x."),
    "Right, whatever lies in the padding.",
    {
        "mean over all steps": (lambda: lambda x, mask: x.mean(1), "all four steps"),
        "trusts the zeros": (lambda: lambda x, mask: x.sum(1) / mask.sum(1, keepdim=True), "while padding is zero"),
    },
)


# ---- a rival reading --------------------------------------------------------------------------------------------------


def _judge_rival(answer: Any) -> str | None:
    from dataclasses import fields

    from vcemo_lib.models import Settings, paper

    if not isinstance(answer, Settings):
        return f"the answer should be Settings, made by paper().but(...), not {type(answer).__name__}."
    base = paper()
    changed = {f.name for f in fields(Settings) if getattr(answer, f.name) != getattr(base, f.name)}
    if changed == {"guided_by"}:
        return None
    if not changed:
        return "these are the paper's settings unchanged, where the guide is the final output."
    if "bidirectional" in changed:
        return "bidirectional lets each modality guide the other; the guide is still the final output of its stack."
    if "guides" in changed:
        return "guides says *who* guides. The question is *which of its layers* does."
    return f"you changed {', '.join(sorted(changed))}; one setting is enough, and it is not that."


def _solve_rival() -> Any:
    from vcemo_lib.models import paper

    return paper().but(guided_by="same_depth")


rival = Exercise(
    "UMONS' reading",
    _judge_rival,
    _solve_rival,
    ("The table of readings names the setting.", "paper().but(name=value) gives a copy with one field changed."),
    "Right: layer by layer, as UMONS 2020 has it.",
    {
        "both ways": (lambda: _paper(bidirectional=True), "still the final output"),
        "other guide": (lambda: _paper(guides=("audio", "fused")), "which of its layers"),
        "unchanged": (lambda: _paper(), "unchanged"),
    },
)


def _paper(**changes: Any) -> Any:
    from vcemo_lib.models import paper

    return paper(**changes)


# ---- quiz -----------------------------------------------------------------------------------------------------------

QUIZ = (
    Question(
        "Why are audio and words brought to the same number of steps before fusion 1?",
        (
            ("Attention needs equal lengths.", False, "It does not: queries and keys may differ in number. In fusion 2 the fused steps stand against as many tokens as BERT gives."),
            ("They are added element by element.", True, "Adding needs equal shapes. The paper adds, but does not say how the lengths are made equal."),
            ("To save time.", False, "It does save time, but it is needed for the sum."),
        ),
    ),
    Question(
        "BERT gives one vector for the sentence, and the fused sequence guides it (paper settings, fusion 2). What does BERT's self-attention do?",
        (
            ("It finds the important words.", False, "There are no words left to choose from, only one vector."),
            ("It gives the one vector weight 1, always.", True, "A softmax over one score is 1. What remains is a linear layer, a residual and a LayerNorm."),
            ("It fails.", False, "It runs, and learns through its linear layers. That is why nobody notices."),
        ),
    ),
    Question(
        "You change the last layer of the guiding stack. Which decoder layers notice, if the final output guides?",
        (
            ("The last one only.", False, "That is the same-depth reading: layer i is guided by layer i."),
            ("All of them.", True, "Every decoder layer is guided by the final output. That is the paper's point of difference, and the test above shows it."),
            ("None: it is an encoder.", False, "The encoder's output is what the decoder looks at."),
        ),
    ),
    Question(
        "A word gets much attention. Has it decided the answer?",
        (
            ("Yes, that is what attention means.", False, "The weight says what is mixed in, not what the layers behind make of it; and the residual carries the rest past it."),
            ("Not necessarily: take it away and look.", True, "Muting a word and seeing the probability move is a test. The weight is a hint where to test."),
            ("No, attention is random.", False, "It is learned and depends on the input. It is only not the whole path."),
        ),
    ),
)
