"""From a feature store into memory: ragged rows, batches, plans, drawn versions, and their scaling."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vcemo_lib.errors import VcemoError
from vcemo_lib.loading import InMemoryDataset, Ragged, Scaler, gather
from vcemo_lib.models import Batch

KINDS = ("mel", "words")
LENGTHS = {"mel": [5, 3, 8, 1], "words": [2, 0, 1, 4]}


class Part(SimpleNamespace):
    """What `gather` asks of a part of a corpus."""

    def y(self) -> np.ndarray:
        return np.arange(len(self.ids), dtype=np.int64)


class Store:
    """Arrays of random values, the second text empty."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        widths = {"mel": 3, "words": 2}
        self.arrays = {
            (kind, f"u{i}"): rng.normal(5, 2, (n, widths[kind])).astype(np.float16)
            for kind in KINDS for i, n in enumerate(LENGTHS[kind])
        }  # fmt: skip

    def batch(self, ids: list[str], kinds: tuple[str, ...]) -> Batch:
        return Batch.collate(ids, {kind: [self.arrays[kind, u] for u in ids] for kind in kinds})


def part(ids: list[str], speakers: list[str]) -> Part:
    import pandas as pd

    return Part(name="toy", ids=ids, table=pd.DataFrame({"speaker": speakers}, index=ids))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def data(store: Store) -> InMemoryDataset:
    return gather(store, part(["u0", "u1", "u2", "u3"], ["ann", "ben", "ann", "ben"]), KINDS)


def test_ragged_sequences_are_padded_with_zeros() -> None:
    rows = torch.arange(1.0, 7)[:, None]
    ragged = Ragged.of(rows, torch.tensor([2, 0, 3, 1]))
    values, lengths = ragged.padded(torch.tensor([2, 1, 0]), longest=4)
    assert values[..., 0].tolist() == [[3, 4, 5, 0], [0, 0, 0, 0], [1, 2, 0, 0]]
    assert lengths.tolist() == [3, 0, 2] and values.dtype == torch.float32


def test_what_was_gathered_is_what_the_store_holds(store: Store, data: InMemoryDataset) -> None:
    batch = data.batch(np.array([3, 1]))
    assert batch.ids == ["u3", "u1"] and batch.labels.tolist() == [3, 1] and len(data) == 4
    for kind in KINDS:
        values, lengths = getattr(batch, kind), getattr(batch, f"{kind}_len").tolist()
        assert lengths == [LENGTHS[kind][3], LENGTHS[kind][1]] and values.shape[1] == max(lengths)
        for row, n, utt_id in zip(values, lengths, batch.ids, strict=True):
            np.testing.assert_array_equal(row[:n].numpy(), store.arrays[kind, utt_id])
            assert not row[n:].any()


def test_more_utterances_than_are_read_at_a_time(store: Store) -> None:
    four = part(["u0", "u1", "u2", "u3"], ["ann"] * 4)
    many = gather(store, Part(name="many", ids=four.ids * 40, table=four.table), ("mel",))
    assert many.lengths["mel"].tolist() == LENGTHS["mel"] * 40
    np.testing.assert_array_equal(many.batch(np.array([157])).mel[0].numpy(), store.arrays["mel", "u1"])


def test_bad_parts_are_told(store: Store) -> None:
    with pytest.raises(VcemoError, match="part without utterances.*toy"):
        gather(store, part([], []), KINDS)
    store.arrays["mel", "u2"][3, 1] = np.inf
    with pytest.raises(VcemoError, match="mel features are not finite.*u2"):
        gather(store, part(["u1", "u2"], ["ann", "ann"]), KINDS)


def test_a_plan_holds_everybody_once_in_batches_of_like_size() -> None:
    lengths = np.random.default_rng(1).integers(1, 100, 50)
    ids = [str(i) for i in range(50)]
    rows = Ragged.of(torch.zeros(int(lengths.sum()), 1), torch.from_numpy(lengths))
    data = InMemoryDataset(ids, torch.zeros(50), np.array(["ann"] * 50), {"mel": rows})
    by_length = np.concatenate(list(data.plan(8)))
    assert (np.diff(lengths[by_length]) >= 0).all()
    first, again, other = (list(data.plan(8, np.random.default_rng(seed))) for seed in (0, 0, 1))
    for plan in (first, other):
        assert sorted(np.concatenate(plan)) == list(range(50)) and {len(b) for b in plan} == {7, 8}
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert np.concatenate(first).tolist() != np.concatenate(other).tolist()


def test_each_draw_takes_a_version_of_each_clip(store: Store, data: InMemoryDataset) -> None:
    higher = Store()
    higher.arrays = {key: array[: max(1, len(array) - 1)] + 100 for key, array in store.arrays.items()}
    second = gather(higher, part(data.ids, list(data.speakers)), ("mel",))
    versions, seen = data.with_versions([second]), set()
    for seed in range(8):
        drawn = versions.draw(np.random.default_rng(seed))
        batch = drawn.batch(np.arange(4))
        for i, utt_id in enumerate(batch.ids):
            n = int(batch.mel_len[i])
            assert n == drawn.lengths["mel"][i] and not batch.mel[i, n:].any()
            which = int(batch.mel[i, 0, 0] > 50)
            array = (store, higher)[which].arrays["mel", utt_id]
            np.testing.assert_array_equal(batch.mel[i, :n].numpy(), array)
            seen.add((i, which))
        assert batch.words.equal(data.batch(np.arange(4)).words)  # sound alone is altered
    assert len(seen) == 8


def rows_of(data: InMemoryDataset, kind: str, speaker: str | None = None) -> np.ndarray:
    each = data.sequences[kind].rows[:-1].split(data.sequences[kind].lengths.tolist())
    rows = [r for r, who in zip(each, data.speakers, strict=True) if speaker in (None, who)]
    return torch.cat(rows).float().numpy()


def test_scaling_by_the_training_part(data: InMemoryDataset) -> None:
    scaled = Scaler.fit({"train": data}, per_speaker=False).apply(data)
    for kind in KINDS:
        raw = rows_of(data, kind)
        wanted = (raw - raw.mean(0)) / raw.std(0)
        np.testing.assert_allclose(rows_of(scaled, kind), wanted, atol=2e-3)
    assert not scaled.sequences["mel"].rows[-1].any(), "padding stays zero"


def test_scaling_by_speaker_is_of_sound_and_of_known_speakers(data: InMemoryDataset) -> None:
    scaler = Scaler.fit({"train": data}, per_speaker=True)
    scaled = scaler.apply(data)
    for speaker in ("ann", "ben"):
        rows = rows_of(scaled, "mel", speaker)
        np.testing.assert_allclose([rows.mean(0), rows.std(0)], [[0] * 3, [1] * 3], atol=2e-3)
    assert abs(rows_of(scaled, "words", "ben").mean()) > 0.01  # over both speakers, not within each
    del scaler.by_speaker["ben"]
    overall = Scaler.fit({"train": data}, per_speaker=False).apply(data)
    again = scaler.apply(data)
    np.testing.assert_array_equal(rows_of(again, "mel", "ben"), rows_of(overall, "mel", "ben"))
    scaler.learn_speakers(data)
    np.testing.assert_array_equal(rows_of(scaler.apply(data), "mel"), rows_of(scaled, "mel"))


def test_a_constant_channel_is_centred_and_not_divided(store: Store) -> None:
    for utt_id in ("u0", "u1"):
        store.arrays["mel", utt_id][:, 0] = 7
    data = gather(store, part(["u0", "u1"], ["ann", "ben"]), ("mel",))
    assert not rows_of(Scaler.fit({"train": data}, per_speaker=True).apply(data), "mel")[:, 0].any()


def test_frames_of_words_are_not_scaled(store: Store) -> None:
    store.arrays |= {("word_spans", u): np.array([[3, 9]], np.float16) for u in ("u0", "u1")}
    data = gather(store, part(["u0", "u1"], ["ann", "ben"]), ("mel", "word_spans"))
    scaled = Scaler.fit({"train": data}, per_speaker=True).apply(data)
    assert rows_of(scaled, "word_spans").tolist() == [[3, 9], [3, 9]]


def test_few_clips_of_a_stranger_weigh_little(data: InMemoryDataset) -> None:
    scaler = Scaler.fit({"train": data}, per_speaker=True)
    clips = {"nobody": [], "one": [1], "two": [0, 1]}
    adapted = scaler.adapted(data, clips)
    assert set(adapted.by_speaker) == {"one", "two"} and set(scaler.by_speaker) == {"ann", "ben"}
    mean, deviation = scaler.overall["mel"]
    each = data.sequences["mel"].rows[:-1].split(data.sequences["mel"].lengths.tolist())
    for name, weight in (("one", 1 / 2), ("two", 2 / 3)):
        rows = torch.cat([each[i] for i in clips[name]]).float()
        found = adapted.by_speaker[name]["mel"]
        torch.testing.assert_close(found[0], (1 - weight) * mean + weight * rows.mean(0))
        spread = deviation ** (1 - weight) * rows.std(0, unbiased=False) ** weight
        torch.testing.assert_close(found[1], spread)
