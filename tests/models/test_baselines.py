"""The baselines: each is what its paper says, and all are deaf to padding and finite on empty input."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import synthetic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcemo_lib.course.readings import faults
from vcemo_lib.errors import VcemoError
from vcemo_lib.models import MODELS, Batch, Settings, build, paper, settings_for
from vcemo_lib.models import tutorial as ours
from vcemo_lib.models.attention import CoAttention
from vcemo_lib.models.baselines import mean_and_max
from vcemo_lib.training import Run, fit

SMALL = dict(width=16, heads=2, ff_width=16, length=6, conv_channels=(4, 4, 4), conv_strides=((1, 1),) * 3)
NO_CHANCE = dict(dropout=0.0, text_dropout=0.0, modality_dropout=0.0)
LENGTHS = {"mel": (70, 31, 7), "words": (5, 0, 1), "whisper": (35, 16, 4)}
SPANS = [
    [(3, 20), (20, 31), (31, 31), (40, 52), (52, 69)],
    [],
    [(0, 7)],
]  # the third word of the first has no time
GUIDES = ("same_depth", "final")
BASELINES = [name for name in MODELS if name != "vcemo"]
baselines = pytest.mark.parametrize("name", BASELINES)


def small(name: str, **changes) -> Settings:
    return settings_for(name, **(SMALL | changes))


def arrays(lengths=LENGTHS, seed: int = 0) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {kind: [rng.normal(size=(n, synthetic.WIDTHS[kind])) for n in ns] for kind, ns in lengths.items()}


def batch_of(lengths=LENGTHS, spans=None) -> Batch:
    known = {"word_spans": [np.reshape(s, (-1, 2)) for s in spans]} if spans else {}
    return Batch.collate(["a", "b", "c"], arrays(lengths) | known, [0, 1, 2])


def longer(batch: Batch, by: int) -> Batch:
    """The same utterances with `by` more steps of padding, and junk in all of it."""
    values = {}
    for kind in LENGTHS:
        x = F.pad(getattr(batch, kind), (0, 0, 0, by))
        padding = torch.arange(x.shape[1]) >= getattr(batch, f"{kind}_len")[:, None]
        values[kind] = x.masked_fill(padding[..., None], 1e4)
    spans = None if batch.word_spans is None else F.pad(batch.word_spans, (0, 0, 0, by))
    return dataclasses.replace(batch, **values, word_spans=spans)


def outputs_of(module: nn.Module) -> list[Tensor]:
    """The list that will fill with what a layer gives, call by call."""
    seen: list[Tensor] = []
    module.register_forward_hook(lambda _, given, out: seen.append(out))
    return seen


@baselines
def test_shapes_and_gradients(name: str) -> None:
    model = build(name, small(name, **NO_CHANCE))
    out = model(batch_of())
    assert out.logits.shape == (3, 6) and len(out.features) == 3 and out.projection is None
    F.cross_entropy(out.logits, batch_of().labels).backward()
    assert all(p.grad is not None and (p.ndim == 1 or p.grad.any()) for p in model.parameters())


@baselines
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("changes", [{}, {"audio_pool": (1, 1)}, {"acoustic": "whisper"}], ids=str)
@torch.no_grad()
def test_padding_changes_nothing(name: str, changes: dict, training: bool) -> None:
    model = build(name, small(name, **NO_CHANCE, **changes)).train(training)
    for spans in (None, SPANS):
        batch = batch_of(spans=spans)
        for by in (1, 13):
            torch.testing.assert_close(
                model(longer(batch, by)).logits, model(batch).logits, rtol=1e-4, atol=1e-5
            )


@baselines
@torch.no_grad()
def test_an_utterance_does_not_depend_on_its_neighbours(name: str) -> None:
    model, features = build(name, small(name)).eval(), arrays()
    together = model(batch_of()).logits
    for i in range(3):
        alone = model(Batch.collate("x", {kind: [a[i]] for kind, a in features.items()})).logits
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


@baselines
def test_silence_and_empty_transcripts_stay_finite(name: str) -> None:
    model = build(name, small(name)).train()
    batch = batch_of({"mel": (0, 0, 1), "words": (0, 0, 0), "whisper": (0, 0, 0)}, [[], [], []])
    batch.mel.zero_()
    out = model(batch)
    out.logits.sum().backward()
    assert out.logits.isfinite().all() and all(p.grad.isfinite().all() for p in model.parameters())
    batch.words, batch.word_spans = (
        torch.zeros(3, 0, 300),
        torch.zeros(3, 0, 2),
    )  # not even one step of padding
    assert model.eval()(batch).logits.isfinite().all()


@baselines
def test_trains_in_the_same_loop_and_is_kept(name: str, tmp_path) -> None:
    parts = synthetic.parts(48)
    store = synthetic.Store(synthetic.corpus(48))
    settings = small(name, epochs=6, batch_size=8)
    run = fit(build(name, settings), store, parts, out=tmp_path, progress=False)
    assert run.history.loss.iloc[-1] < run.history.loss.iloc[0]
    again = Run.load(tmp_path, store).predict(parts["test"])
    np.testing.assert_allclose(again.probabilities, run.predict(parts["test"]).probabilities, rtol=1e-5)


@torch.no_grad()
def test_xu_every_word_attends_over_the_speech() -> None:
    model = build("xu", small("xu", audio_pool=(1, 1))).eval()
    batch = batch_of()
    align = model(batch).attention["align"]  # (B, h, W, T)
    assert align.shape == (3, 2, 5, 70)
    torch.testing.assert_close(align.sum(dim=-1), torch.ones(3, 2, 5))
    for row, frames in zip(align, LENGTHS["mel"], strict=True):
        assert row[..., :frames].min() > 0 and (row[..., frames:] == 0).all()  # padding gets no weight
    assert not torch.allclose(align[0, :, 0], align[0, :, 1])  # each word has an alignment of its own
    batch.words[0, 4] += 5  # the text reader goes both ways, so the first word's own query moves as well
    assert not torch.allclose(model(batch).attention["align"][0, :, 0], align[0, :, 0])


@torch.no_grad()
def test_yoon_hop_2_is_guided_by_what_hop_1_found() -> None:
    model = build("yoon", small("yoon")).eval()
    audio, words = outputs_of(model.audio_rnn), outputs_of(model.words_rnn)
    batch = batch_of()
    out = model(batch)
    voice, first, second = out.features.chunk(3, dim=-1)  # (B, d) each
    torch.testing.assert_close(
        voice[0], torch.cat([audio[0][0, -1, :8], audio[0][0, 0, 8:]])
    )  # both readers' ends
    for i, count in enumerate((5, 1, 1)):  # an empty transcript counts as one zero vector
        steps = -(-LENGTHS["mel"][i] // model.settings.audio_pool[0])
        hop1 = (words[0][i, :count] @ voice[i]).softmax(dim=0)
        torch.testing.assert_close(out.attention["hop1"][i, :count], hop1)
        torch.testing.assert_close(first[i], hop1 @ words[0][i, :count])
        hop2 = (audio[0][i, :steps] @ first[i]).softmax(dim=0)  # by the first answer, not by the voice itself
        torch.testing.assert_close(out.attention["hop2"][i, :steps], hop2)
        torch.testing.assert_close(second[i], hop2 @ audio[0][i, :steps])
    batch.words[0] *= -3  # other words, same sound: the first question stays, the second changes
    other = model(batch)
    torch.testing.assert_close(other.features.chunk(3, dim=-1)[0], voice)
    assert not torch.allclose(other.attention["hop2"][0], out.attention["hop2"][0])


@torch.no_grad()
def test_mdre_has_no_attention_and_reads_last_states_only() -> None:
    model, batch = build("mdre", small("mdre", audio_pool=(1, 1))).eval(), batch_of()
    out = model(batch)
    assert out.attention == {}

    def spoil(lengths: tuple[int, ...]):
        def hook(module: nn.Module, given: tuple, states: Tensor) -> Tensor:
            last = torch.arange(states.shape[1]) == torch.tensor(lengths)[:, None] - 1  # (B, T)
            return states.where(last[..., None], 1e4)

        return hook

    model.audio_rnn.register_forward_hook(spoil(LENGTHS["mel"]))
    model.words_rnn.register_forward_hook(spoil((5, 1, 1)))
    torch.testing.assert_close(model(batch).logits, out.logits)


@baselines
@pytest.mark.parametrize("muted", ["audio", "words"])
@torch.no_grad()
def test_a_muted_modality_is_what_modality_dropout_taught(name: str, muted: str) -> None:
    """In the baselines zeros come in: they have no branches."""
    model, batch = build(name, small(name, audio_pool=(1, 1))).eval(), batch_of()
    kind = {"audio": "mel"}.get(muted, muted)
    zeros = dataclasses.replace(batch, **{kind: torch.zeros_like(getattr(batch, kind))})
    found = model(dataclasses.replace(batch, muted=(muted,))).logits
    torch.testing.assert_close(found, model(zeros).logits, rtol=0, atol=0)
    assert not torch.allclose(found, model(batch).logits)


@torch.no_grad()
def test_umons_can_be_guided_as_vcemo_is() -> None:
    assert small("umons").guided_by == "same_depth" == settings_for("umons", "paper").guided_by
    same, final = (build("umons", small("umons", layers=2, guided_by=by)).eval() for by in GUIDES)
    assert not torch.allclose(same(batch_of()).logits, final(batch_of()).logits)
    sounds = [outputs_of(block.guided_attn) for block in final.blocks]
    final(batch_of())
    for p in final.blocks[1].self_attn.parameters():  # the words' last layer reaches the sound's first
        p.add_(torch.randn(p.shape))
    final(batch_of())
    assert not torch.allclose(*(seen[0] for seen in sounds[0]))


@torch.no_grad()
def test_umons_guide_is_the_same_depths_input() -> None:
    """A later layer of the words cannot reach an earlier one of the sound. In VCEMO it does."""
    model, batch = build("umons", small("umons", layers=3)).eval(), batch_of()
    sounds = [outputs_of(block.guided_attn) for block in model.blocks]
    model(batch)
    for p in model.blocks[1].self_attn.parameters():  # the words' own layer at depth 1
        p.add_(torch.randn(p.shape))
    model(batch)
    changed = [not torch.allclose(before[0], after[0]) for before, after in sounds]
    assert changed == [False, False, True]

    x, y = torch.randn(2, 5, 16), torch.randn(2, 4, 16)
    stack = CoAttention(16, 2, 3, 16, 0.0).eval()
    sound = outputs_of(stack.decoder[0])
    stack(x, y)
    for p in stack.encoder[2].parameters():
        p.add_(torch.randn(p.shape))
    stack(x, y)
    assert not torch.allclose(sound[0][0], sound[1][0])


@torch.no_grad()
def test_cme_gates_are_one_plus_sigmoid() -> None:
    model, batch = build("cme", small("cme")).eval(), batch_of(spans=SPANS)
    linear, joined = outputs_of(model.words_linear), []
    model.pairs_rnn.register_forward_hook(lambda _, given, out: joined.append(given[0]))
    sound: list[Tensor] = []
    model.excite_words.register_forward_hook(lambda _, given, out: sound.append(given[0]))
    gates = outputs_of(model.excite_words), outputs_of(model.excite_audio)  # before the sigmoid
    maps = model(batch).attention
    torch.testing.assert_close(maps["excite_words"], 1 + gates[0][0].sigmoid())
    torch.testing.assert_close(maps["excite_audio"], 1 + gates[1][0].sigmoid())
    both = torch.cat([linear[0] * maps["excite_words"], sound[0] * maps["excite_audio"]], dim=-1)
    torch.testing.assert_close(joined[0], both)


def test_cme_mean_and_max_of_each_words_frames() -> None:
    x, mask = torch.randn(2, 9, 3), torch.arange(9) < torch.tensor([9, 4])[:, None]
    first, end = torch.tensor([[0, 2, 8], [-2, 3, 7]]), torch.tensor([[2, 7, 20], [3, 9, 8]])
    reached = [[(0, 2), (2, 7), (8, 9)], [(0, 3), (3, 4), (3, 4)]]  # within the clip, one frame at least
    got = mean_and_max(x, first, end, mask)
    for clip, row, spans in zip(x, got, reached, strict=True):
        for found, (a, b) in zip(row, spans, strict=True):
            torch.testing.assert_close(found, torch.cat([clip[a:b].mean(dim=0), clip[a:b].amax(dim=0)]))


@torch.no_grad()
def test_cme_a_word_hears_its_own_frames_only() -> None:
    spans = [[(3, 20), (20, 31), (31, 36), (40, 52), (59, 69)], [], [(0, 7)]]
    model, batch = build("cme", small("cme", audio_pool=(1, 2))).eval(), batch_of(spans=spans)
    before = model(batch).attention["excite_words"]  # (B, W, d)
    batch.mel[0, 47] += (
        9  # in the fourth word; its neighbours' convolved frames see 6 frames beyond them at most
    )
    moved = (model(batch).attention["excite_words"] != before).any(dim=-1)
    assert moved.tolist() == [[False, False, False, True, False], [False] * 5, [False] * 5]


def test_cme_words_without_a_time_are_spread_evenly() -> None:
    model = build("cme", small("cme", audio_pool=(1, 1)))
    frames, real = torch.tensor([70, 31, 7]), torch.arange(5) < torch.tensor([5, 1, 1])[:, None]
    first, end = model.spans(batch_of(), frames, real)
    assert first[0].tolist() == [0, 14, 28, 42, 56] and end[0].tolist() == [14, 28, 42, 56, 70]
    assert (first[1, 0], end[1, 0]) == (0, 31)  # no words: one, as long as the clip
    first, end = model.spans(batch_of(spans=SPANS), frames, real)
    assert first[0].tolist() == [3, 20, 28, 40, 52] and end[0].tolist() == [
        20,
        31,
        42,
        52,
        69,
    ]  # the third: its share
    half = build("cme", small("cme", audio_pool=(2, 2)))
    first, end = half.spans(batch_of(spans=SPANS), torch.tensor([35, 16, 4]), real)
    assert (first[0, 0], end[0, 0]) == (1, 10)  # frames 3 to 20 of 10 ms are 1 to 10 of 20 ms


def test_published_settings_are_the_authors() -> None:
    xu, yoon, mdre, umons, cme = (settings_for(name, "paper", 4) for name in BASELINES)
    assert (xu.width, xu.heads, xu.dropout, xu.lr, xu.batch_size, xu.epochs, xu.clip) == (
        200,
        8,
        0.5,
        1e-3,
        64,
        150,
        3.0,
    )
    assert (yoon.width, yoon.batch_size, mdre.width, mdre.dropout, mdre.text_dropout) == (
        400,
        128,
        200,
        0.3,
        0.7,
    )
    assert (umons.layers, umons.width, umons.heads, umons.ff_width, umons.length) == (4, 512, 4, 1024, 60)
    assert (cme.conv_channels, cme.width, cme.lr, cme.batch_size, cme.epochs) == (
        (64, 128, 128),
        256,
        5e-4,
        32,
        20,
    )
    for s in (xu, yoon, mdre, umons, cme):
        assert (s.alpha, s.optimizer, s.schedule, s.classes, s.speaker_norm) == (
            0,
            "adam",
            "constant",
            4,
            False,
        )
        assert Settings.from_dict(json.loads(json.dumps(s.as_dict()))) == s


def test_settings_of_any_model_by_size() -> None:
    assert settings_for("cme", classes=4, lr=1e-2) == settings_for("cme").but(classes=4, lr=1e-2)
    assert settings_for("vcemo", alpha=0.0) == ours(alpha=0.0)
    assert settings_for("vcemo", "paper", 4) == paper(4)
    with pytest.raises(VcemoError, match="no size 'huge'"):
        settings_for("xu", "huge")


@baselines
def test_small_settings_train_like_our_own(name: str) -> None:
    of_training = (
        "optimizer",
        "lr",
        "weight_decay",
        "schedule",
        "epochs",
        "batch_size",
        "speaker_norm",
        "modality_dropout",
    )
    assert all(getattr(settings_for(name), field) == getattr(ours(), field) for field in of_training)
    assert build(name).settings == settings_for(name)  # what one gets without asking
    with pytest.raises(VcemoError, match="one acoustic feature"):
        build("xu", small("xu", acoustic="both"))
    with pytest.raises(VcemoError, match="reads audio and words"):
        build(name, ours())
    assert not faults(name).empty
