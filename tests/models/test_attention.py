"""Attention against torch's own, and co-attention against the paper's one claim: who guides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vcemo_lib.models.attention import (
    Attention,
    AttentionPool,
    CoAttention,
    Dropout,
    GuidedAttention,
    SelfAttention,
)

B, T, S, D, H = 3, 7, 5, 16, 4
SIZES = (D, H, 2 * D, 0.0)  # width, heads, ff_width, dropout


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def mask_of(*lengths: int, steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def reference_of(ours: Attention) -> nn.MultiheadAttention:
    """torch's layer with our weights in it."""
    theirs = nn.MultiheadAttention(D, H, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    return theirs


def reference_join(x, change, join):  # LayerNorm(x + change), without our AddNorm
    return nn.functional.layer_norm(x + change, (D,), join.norm.weight, join.norm.bias)


def test_attention_equals_torchs() -> None:
    ours = Attention(D, H, dropout=0.0).eval()
    query, source, mask = torch.randn(B, T, D), torch.randn(B, S, D), mask_of(5, 2, 1, steps=S)
    found, weights = ours(query, source, mask)
    want, want_weights = reference_of(ours)(
        query, source, source, key_padding_mask=~mask, average_attn_weights=False
    )
    torch.testing.assert_close(found, want)
    torch.testing.assert_close(weights, want_weights)


def test_attention_is_the_papers_formula() -> None:
    ours = Attention(D, heads=1, dropout=0.0).eval()
    query, source = torch.randn(B, T, D), torch.randn(B, S, D)
    q, k, v = ours.query(query), ours.key(source), ours.value(source)
    want = torch.softmax(q @ k.transpose(1, 2) / D**0.5, dim=-1) @ v
    torch.testing.assert_close(ours(query, source)[0], ours.out(want))


def test_coattention_equals_stacks_of_torchs_layers() -> None:
    ours = CoAttention(D, H, layers=2, ff_width=2 * D, dropout=0.0).eval()
    x, y, x_mask, y_mask = (
        torch.randn(B, S, D),
        torch.randn(B, T, D),
        mask_of(5, 2, 1, steps=S),
        mask_of(7, 3, 1, steps=T),
    )
    got_x, got_y, maps = ours(x, y, x_mask, y_mask)
    for layer in ours.encoder:
        x = reference_join(
            x, reference_of(layer.self_attn)(x, x, x, key_padding_mask=~x_mask)[0], layer.self_attn_norm
        )
        x = reference_join(x, layer.mlp(x), layer.mlp_norm)
    for layer in ours.decoder:
        y = reference_join(
            y, reference_of(layer.self_attn)(y, y, y, key_padding_mask=~y_mask)[0], layer.self_attn_norm
        )
        y = reference_join(
            y, reference_of(layer.cross_attn)(y, x, x, key_padding_mask=~x_mask)[0], layer.cross_attn_norm
        )
        y = reference_join(y, layer.mlp(y), layer.mlp_norm)
    torch.testing.assert_close(got_x, x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got_y, y, rtol=1e-4, atol=1e-5)
    assert [m.shape for m in maps] == [(B, H, T, S)] * 2


def first_decoder_output(co: CoAttention, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    seen = []
    handle = co.decoder[0].register_forward_hook(lambda module, args, out: seen.append(out[0]))
    co(x, y)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize(("guided_by", "reaches"), [("final", True), ("same_depth", False)])
def test_the_last_encoder_layer_reaches_the_first_decoder_layer_only_in_vcemo(
    guided_by: str, reaches: bool
) -> None:
    co = CoAttention(D, H, 3, 2 * D, 0.0, guided_by).eval()
    x, y = torch.randn(B, S, D), torch.randn(B, T, D)
    before = first_decoder_output(co, x, y)
    with torch.no_grad():
        co.encoder[-1].mlp[0].weight.add_(
            torch.randn(2 * D, D)
        )  # a constant would meet rows that add up to 0
    moved = (first_decoder_output(co, x, y) - before).abs().max()
    assert moved > 1e-2 if reaches else moved == 0


def test_the_guide_is_not_changed_by_the_guided() -> None:
    co = CoAttention(D, H, 2, 2 * D, 0.0).eval()
    x = torch.randn(B, S, D)
    torch.testing.assert_close(co(x, torch.randn(B, T, D))[0], co(x, torch.randn(B, T, D))[0])


@pytest.mark.parametrize("layer", [SelfAttention(*SIZES), GuidedAttention(*SIZES)], ids=["SA", "GA"])
def test_padding_changes_nothing(layer: nn.Module) -> None:
    layer.eval()
    x, guide = torch.randn(B, T, D), torch.randn(B, S, D)
    junk = torch.full((B, 4, D), 1e3)
    x_mask, guide_mask = mask_of(7, 7, 7, steps=T + 4), mask_of(5, 5, 5, steps=S + 4)
    long_x, long_guide = torch.cat([x, junk], 1), torch.cat([guide, junk], 1)
    if isinstance(layer, SelfAttention):
        short, long = layer(x)[0], layer(long_x, x_mask)[0]
    else:
        short, long = layer(x, guide)[0], layer(long_x, long_guide, x_mask, guide_mask)[0]
    torch.testing.assert_close(long[:, :T], short)


@pytest.mark.parametrize(
    "pool", [AttentionPool(D, 0.0, mean) for mean in (False, True)], ids=["attention", "mean"]
)
def test_pooling_weighs_real_steps_only(pool: nn.Module) -> None:
    x, mask = torch.randn(B, T, D), mask_of(7, 3, 1, steps=T)
    pooled, weights = pool.eval()(x, mask)
    assert torch.all(weights[~mask] == 0)
    torch.testing.assert_close(weights.sum(1), torch.ones(B))
    torch.testing.assert_close(pooled[2], x[2, 0])
    if pool.score is None:
        torch.testing.assert_close(pooled[1], x[1, :3].mean(0))


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x, p = torch.ones(101, 1001, requires_grad=True), 51 / 256
    out = Dropout(p)(x)
    out.sum().backward()
    dropped = out == 0
    assert abs(dropped.float().mean() - p) < 0.005 and abs(out.mean() - 1) < 0.005
    assert torch.equal(x.grad, out)  # what is dropped gets no gradient, the rest is scaled alike
    assert abs((dropped[:, 1:] & dropped[:, :-1]).float().mean() - p**2) < 0.005  # neighbours are independent
    assert torch.equal(Dropout(p).eval()(x), x)
    torch.manual_seed(1)
    first = Dropout(0.5)(x)
    torch.manual_seed(1)
    assert torch.equal(Dropout(0.5)(x), first)


@pytest.mark.parametrize("p", [0.001, 0.9985, 0.999])
def test_dropout_that_a_byte_cannot_tell_is_torchs(p: float) -> None:
    """A byte has 256 values: below 1/512 it would drop nothing, above 511/512 divide by zero."""
    out = Dropout(p)(torch.ones(1000, 1000))
    assert out.isfinite().all() and abs((out == 0).double().mean() - p) < 3e-4
