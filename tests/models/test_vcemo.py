"""The model: any choice of modalities, deaf to padding, finite on empty input."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vcemo_lib.errors import VcemoError
from vcemo_lib.models import MODALITIES, Batch, Settings, build, paper, parameters, tutorial
from vcemo_lib.models.batch import leave_out
from vcemo_lib.models.branches import FrameNorm, Recurrent, Statistics, shorten, to_length

SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(MODALITIES, n)]
SMALL = dict(width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4), bert_width=8)
NO_CHANCE = dict(dropout=0.0, text_dropout=0.0, modality_dropout=0.0)
LENGTHS = {"mel": (50, 31, 7), "words": (6, 0, 1), "bert": (5, 2, 3), "whisper": (25, 16, 4)}
WIDTHS = {"mel": 80, "words": 300, "bert": 8, "whisper": 512}


def small(**changes) -> Settings:
    return tutorial(**(SMALL | changes))


def batch_of(lengths=LENGTHS, seed=0) -> Batch:
    rng = np.random.default_rng(seed)
    arrays = {kind: [rng.normal(size=(n, WIDTHS[kind])) for n in ns] for kind, ns in lengths.items()}
    return Batch.collate(["a", "b", "c"], arrays, [0, 1, 2])


def longer(batch: Batch, by: int) -> Batch:
    """The same utterances with `by` more steps of padding, and junk in all of it."""
    values = {}
    for kind in LENGTHS:
        x, length = getattr(batch, kind), getattr(batch, f"{kind}_len")
        x = F.pad(x, (0, 0, 0, by))
        padding = torch.arange(x.shape[1]) >= length[:, None]
        values[kind] = x.masked_fill(padding[..., None], 1e4)
    return dataclasses.replace(batch, **values)


@pytest.mark.parametrize("modalities", SUBSETS, ids="+".join)
def test_any_modalities_shapes_and_gradients(modalities: tuple[str, ...]) -> None:
    model = build("vcemo", small(modalities=modalities))
    out = model(batch_of())
    assert out.logits.shape == (3, 6) and out.features.shape == (3, 16) and out.projection.shape == (3, 128)
    torch.testing.assert_close(out.projection.norm(dim=1), torch.ones(3))
    assert ("fusion1" in out.attention) == ({"audio", "words"} <= set(modalities))
    assert ("fusion2" in out.attention) == ("bert" in modalities and len(modalities) > 1)
    (out.logits.sum() + out.projection.sum()).backward()
    assert all(p.grad is not None for p in model.parameters())  # every layer takes part


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"lstm_bidirectional": True}, {"audio_pool": (1, 1)}, {"acoustic": "whisper"}, {"acoustic": "both"},
     {"bert": "mean"}, {"bert": "cls"}, {"bidirectional": True},
     {"guides": ("audio", "bert")}, {"pool": "mean"}, {"guided_by": "same_depth"}],
    ids=str,
)  # fmt: skip
def test_padding_changes_nothing(changes: dict, training: bool) -> None:
    """In training too: BatchNorm's statistics must not see padding (dropout is off to make the two alike)."""
    model = build("vcemo", small(layers=2, **NO_CHANCE, **changes)).train(training)
    batch = batch_of()
    with torch.no_grad():
        short = model(batch)
        for by in (1, 13):
            long = model(longer(batch, by))
            torch.testing.assert_close(long.logits, short.logits, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(long.projection, short.projection, rtol=1e-4, atol=1e-5)


def test_an_utterance_does_not_depend_on_its_neighbours() -> None:
    model = build("vcemo", small(lstm_bidirectional=True)).eval()
    rng = np.random.default_rng(0)
    arrays = {kind: [rng.normal(size=(n, WIDTHS[kind])) for n in ns] for kind, ns in LENGTHS.items()}
    with torch.no_grad():
        together = model(Batch.collate("abc", arrays)).logits
        for i in range(3):
            alone = model(Batch.collate("x", {k: [a[i]] for k, a in arrays.items()})).logits
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("modalities", SUBSETS, ids="+".join)
def test_silence_and_empty_transcripts_stay_finite(modalities: tuple[str, ...]) -> None:
    model = build("vcemo", small(modalities=modalities)).train()
    empty = {"mel": (0, 0, 1), "words": (0, 0, 0), "bert": (0, 0, 1), "whisper": (0, 0, 0)}
    batch = batch_of(empty)
    batch.mel.zero_()
    out = model(batch)
    assert out.logits.isfinite().all() and out.projection.isfinite().all()
    (out.logits.sum() + out.projection.sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    batch.words = torch.zeros(3, 0, 300)  # not even one step of padding
    assert model.eval()(batch).logits.isfinite().all()


def test_to_length_is_adaptive_average_pooling_of_the_real_steps() -> None:
    x, lengths = torch.randn(4, 30, 3), (30, 17, 5, 1)
    mask = torch.arange(30) < torch.tensor(lengths)[:, None]
    got = to_length(x * mask[..., None], mask, 8)
    for row, clip, n in zip(got, x, lengths, strict=True):
        torch.testing.assert_close(row, F.adaptive_avg_pool1d(clip[:n].T[None], 8)[0].T)


def test_shorten_averages_real_steps() -> None:
    x = torch.tensor([[1.0, 3.0, 5.0, 7.0, 9.0], [2.0, 4.0, 6.0, 0.0, 0.0]])[..., None]
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
    values, real = shorten(x, mask, 2)
    assert values[..., 0].tolist() == [[2.0, 6.0, 9.0], [3.0, 6.0, 0.0]]
    assert real.tolist() == [[True, True, True], [True, True, False]]


def test_frame_norm_is_batchnorm_of_the_real_frames() -> None:
    ours, theirs = FrameNorm(3).train(), nn.BatchNorm1d(3).train()
    x, mask = torch.randn(2, 3, 5, 4), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=torch.bool)
    frames = torch.cat([x[0].flatten(1).T, x[1, :, :2].flatten(1).T])  # (7 frames x 4 bands, 3)
    want = theirs(frames).relu()
    got = ours(x, mask).permute(0, 2, 3, 1)
    torch.testing.assert_close(got[mask].flatten(0, 1), want)
    assert torch.all(got[~mask] == 0)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_recurrent_equals_torchs_packed_bidirectional_lstm() -> None:
    ours, theirs = Recurrent(5, 8, bidirectional=True), nn.LSTM(5, 4, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for name, p in ours.forwards.named_parameters():
            getattr(theirs, name).copy_(p)
        for name, p in ours.backwards.named_parameters():
            getattr(theirs, f"{name}_reverse").copy_(p)
    x, lengths = torch.randn(3, 9, 5), torch.tensor([9, 4, 1])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    want, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(x, torch.arange(9) < lengths[:, None]), want)


def test_sentence_vector_is_one_token_and_tokens_are_many() -> None:
    maps = {
        keep: build("vcemo", small(bert=keep)).eval()(batch_of()).attention["fusion2"][0]
        for keep in ("cls", "tokens")
    }
    assert maps["cls"].shape == (3, 2, 1, 6) and maps["tokens"].shape == (3, 2, 5, 6)


def test_modality_dropout_takes_one_modality_of_its_share_in_training_only() -> None:
    model, n = build("vcemo", small(modality_dropout=0.3)), 4000
    tokens = {m: (torch.ones(n, 2, 3), torch.ones(n, 2, dtype=torch.bool)) for m in MODALITIES}
    batch = Batch([""] * n, **{f"{kind}_len": torch.ones(n) for kind in ("mel", "words", "bert")})
    left = leave_out(tokens, model.missing(batch))
    lost = torch.stack([(x == 0).all(dim=2).all(dim=1) for x, _ in left.values()], dim=1)  # (B, 3)
    assert lost.sum(1).max() == 1 and abs(lost.any(1).float().mean() - 0.3) < 0.03
    torch.testing.assert_close(lost.float().mean(0), torch.full((3,), 0.1), rtol=0, atol=0.02)
    assert all(left[m][1] is mask for m, (_, mask) in tokens.items())
    model.eval()
    assert not any(gone.any() for gone in model.missing(batch).values())
    assert torch.equal(model(batch_of()).logits, model(batch_of()).logits)


@pytest.mark.parametrize("acoustic", ["mel", "both"])
@pytest.mark.parametrize("muted", [("audio",), ("words",), ("bert",), ("words", "bert")], ids="+".join)
@torch.no_grad()
def test_a_muted_modality_is_what_modality_dropout_taught(muted: tuple[str, ...], acoustic: str) -> None:
    """Zeros behind the branch, not what LSTM, convolution and biases make of an empty sequence."""
    model, batch = build("vcemo", small(acoustic=acoustic)).eval(), batch_of()
    found = model(dataclasses.replace(batch, muted=muted)).logits
    hooks = [
        model.branches[m].register_forward_hook(lambda _, given, out: (out[0] * 0, out[1])) for m in muted
    ]
    if "audio" in muted:
        hooks.append(model.statistics.register_forward_hook(lambda _, given, out: out * 0))
    torch.testing.assert_close(found, model(batch).logits, rtol=0, atol=0)
    [hook.remove() for hook in hooks]
    assert not torch.allclose(found, model(batch).logits)


@torch.no_grad()
def test_statistics_are_means_and_deviations_over_the_real_steps() -> None:
    """Against numpy, clip by clip, with the linear layer taken as it is."""
    branch = Statistics([(4, (2, 1)), (6, (1, 3))], 5, dropout=0.5).eval()
    branch.norm.eps = 0.0
    rng = np.random.default_rng(0)
    arrays = {"mel": rng.normal(size=(8, 4)), "whisper": rng.normal(size=(3, 6))}
    padded = {kind: F.pad(torch.tensor(x).float()[None], (0, 0, 0, 5)) for kind, x in arrays.items()}
    masks = {kind: (torch.arange(x.shape[1]) < len(arrays[kind]))[None] for kind, x in padded.items()}
    found = branch([(padded[kind], masks[kind]) for kind in arrays], False, torch.tensor([False]))
    pooled = arrays["mel"].reshape(4, 2, 4).mean(1), arrays["whisper"].reshape(3, 2, 3).mean(2)
    moments = np.concatenate([np.concatenate([x.mean(0), x.std(0)]) for x in pooled])
    torch.testing.assert_close(found[0], branch.linear(torch.tensor(moments).float()), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_an_empty_transcript_is_words_and_bert_muted() -> None:
    """Utterance by utterance: the second of the three says nothing, and its neighbours keep their words."""
    model = build("vcemo", small()).eval()
    spoken, silent = (LENGTHS | {"words": (6, n, 1), "bert": (5, n, 3)} for n in (1, 0))
    muted = dataclasses.replace(batch_of(spoken), muted=("words", "bert"))
    found = model(batch_of(silent)).logits
    torch.testing.assert_close(found[1], model(muted).logits[1])
    assert not torch.allclose(found[[0, 2]], model(muted).logits[[0, 2]])


def test_in_training_too_an_empty_transcript_is_zero_tokens() -> None:
    model = build("vcemo", small(**NO_CHANCE, modalities=("words", "bert"))).train()
    model(batch_of({"words": (0, 0, 0), "bert": (0, 0, 0)})).logits.sum().backward()
    branches = model.branches.parameters()
    assert all(p.grad is None or not p.grad.any() for p in branches)  # nothing is learned from no words


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_who_guides_matters_from_two_layers_on(layers: int) -> None:
    final, same = (
        build("vcemo", small(layers=layers, guided_by=by)).eval() for by in ("final", "same_depth")
    )
    assert torch.equal(final(batch_of()).logits, same(batch_of()).logits) == (layers == 1)


def test_both_acoustic_features_are_heard_and_their_tokens_added() -> None:
    model = build("vcemo", small(modalities=("audio",), acoustic="both")).eval()
    batch = batch_of()
    both, _ = model.branches["audio"](*batch.sequence("mel"), *batch.sequence("whisper"))
    alone = [branch(*batch.sequence(kind))[0] for kind, branch in model.branches["audio"].named_children()]
    torch.testing.assert_close(both, sum(alone))
    whole = model(batch).logits
    for kind in ("mel", "whisper"):  # each of them matters
        assert not torch.allclose(
            whole, model(dataclasses.replace(batch, **{kind: torch.zeros_like(getattr(batch, kind))})).logits
        )
    (model(batch).logits.sum() + model(batch).projection.sum()).backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(VcemoError, match="no 'whisper'"):
        model(dataclasses.replace(batch, whisper=None))
    assert small(acoustic="both").kinds["audio"] == ("mel", "whisper")


def test_fusion_order_is_a_setting() -> None:
    words_guide = build("vcemo", small(guides=("words", "fused"))).eval()
    audio_guide = build("vcemo", small(guides=("audio", "fused"))).eval()
    audio_guide.load_state_dict(words_guide.state_dict())
    assert not torch.allclose(words_guide(batch_of()).logits, audio_guide(batch_of()).logits)


def test_seed_decides_the_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    a, b, c = (
        build("vcemo", small(), seed=1),
        build("vcemo", small(), seed=1),
        build("vcemo", small(), seed=2),
    )
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(a.final.mlp[0].weight, b.final.mlp[0].weight)
    assert not torch.equal(a.final.mlp[0].weight, c.final.mlp[0].weight)


def test_paper_settings_are_the_papers() -> None:
    vcemo, iemocap = paper(), paper(4, "iemocap")
    assert (vcemo.alpha, vcemo.lr, vcemo.weight_decay) == (0.1, 1e-5, 1e-3)
    assert (iemocap.alpha, iemocap.lr, iemocap.weight_decay) == (100, 1e-4, 0)
    for s in (vcemo, iemocap):
        assert (s.batch_size, s.epochs, s.projection, s.temperature, s.optimizer) == (
            256,
            50,
            128,
            1.0,
            "adam",
        )
    assert (iemocap.views, iemocap.queue, vcemo.views, vcemo.queue) == (2, 16_384, 1, 0)
    tiny = vcemo.but(**SMALL, conv_strides=((2, 2), (2, 2)), layers=1)
    assert build("vcemo", tiny)(batch_of()).logits.shape == (3, 6)
    assert parameters(build("vcemo", tutorial())) < 1e6


def test_settings_survive_json() -> None:
    import json

    s = tutorial(4, alpha=0.5)
    assert Settings.from_dict(json.loads(json.dumps(s.as_dict()))) == s


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"bert": "sum"}, "bert is 'sum'"), ({"modalities": ()}, "modalities"),
     ({"modalities": ("video",)}, "modalities"), ({"width": 30, "heads": 4}, "heads"),
     ({"learning_rate": 1}, "learning_rate"), ({"epochs": 0}, "epochs"),
     ({"dropout": 1.0}, "dropout"), ({"conv_channels": (4,)}, "conv_")],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_told_in_a_line(changes: dict, told: str) -> None:
    with pytest.raises(VcemoError, match=told) as error:
        tutorial(**changes)
    assert "\n" not in str(error.value)


def test_missing_features_and_unknown_models_are_told() -> None:
    with pytest.raises(VcemoError, match="no 'words'"):
        build("vcemo", small())(Batch.collate("a", {"mel": [np.zeros((9, 80))]}))
    with pytest.raises(VcemoError, match="there is no model"):
        build("bert")


def test_norm_with_weights_is_norm_of_the_real_frames() -> None:
    """What a GPU computes, against what a processor does, where padding is anything but zero."""
    left_out, weighed = (FrameNorm(3) for _ in range(2))
    x, mask = torch.randn(4, 3, 9, 5), torch.arange(9) < torch.tensor([9, 4, 1, 7])[:, None]
    for training_mode in (True, True, False):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        ours, theirs = weighed.train(training_mode).weighted(a, mask), left_out.train(training_mode)(b, mask)
        torch.testing.assert_close(ours, theirs)
        weight = torch.randn_like(x)
        (ours * weight).sum().backward(), (theirs * weight).sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
        for state in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(getattr(weighed, state), getattr(left_out, state))
    torch.testing.assert_close(weighed.weight.grad, left_out.weight.grad)
