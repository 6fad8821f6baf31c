"""Beat the model: what is drawn; nothing is told or kept before the reveal. Chromium tests the scores."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import vcemo_lib as vc
from vcemo_lib import VcemoError
from vcemo_lib.corpora.splits import bare
from vcemo_lib.course.widgets.game import Game, draw
from vcemo_lib.training.runs import Predictions


@pytest.fixture
def game(part: vc.Corpus, said: Predictions) -> Game:
    return Game(part, said, seed=3)


def truth(game: Game) -> list[str]:
    return game.corpus.table.loc[game.ids, "emotion"].tolist()


def finish(game: Game, answers: list[str]) -> None:
    for label in answers:
        game.answer(label)
    game.reveal()


def test_the_draw_has_every_emotion_follows_the_mix_and_repeats_no_sentence() -> None:
    test = vc.splits.given(vc.load_corpus("sim"))["test"]
    for seed in range(30):
        ids = draw(test, 10, seed)
        rows = test.table.loc[ids]
        assert (
            len(set(ids)) == 10
            and rows["text"].map(bare).is_unique
            and set(rows["emotion"]) == set(test.labels)
        )
    assert draw(test, 10, 1) == draw(test, 10, 1) != draw(test, 10, 2)
    counts = Counter(test.table.loc[draw(test, 100), "emotion"])
    shares = test.table["emotion"].value_counts(normalize=True)
    assert all(counts[label] == pytest.approx(1 + 94 * shares[label], abs=1) for label in test.labels)
    places = [
        draw(test, 10, seed).index(u)
        for seed in range(40)
        for u in draw(test, 10, seed)
        if test.table.at[u, "emotion"] == "surprise"
    ]
    assert len(set(places)) > 5, "a rare emotion does not always stand at the same place"


def test_the_same_sentence_by_two_speakers_is_never_heard_twice(part: vc.Corpus) -> None:
    texts = part.table["text"].copy()
    neutral = part.table.index[part.table["emotion"] == "neutral"]
    texts[neutral] = ["你好！" if i % 2 else "你好。" for i in range(len(neutral))]
    same = part.with_column("text", texts)
    assert sum(bare(same.table.at[u, "text"]) == "你好" for u in draw(same, 6)) == 1
    with pytest.raises(VcemoError, match="too few different sentences labelled neutral"):
        draw(same, 10)
    with pytest.raises(VcemoError, match="5 clips for 6 emotions"):
        draw(part, 5)


def test_a_finished_game_tells_what_everybody_said(game: Game) -> None:
    finish(game, truth(game))
    found = game.result()
    assert found["right"]["you"] == 10 and [clip["utt_id"] for clip in found["clips"]] == game.ids
    pred = {
        u: game.predictions.classes[i]
        for u, i in zip(game.predictions.ids, game.predictions.y_pred, strict=True)
    }
    hits = [pred[u] == label for u, label in zip(game.ids, truth(game), strict=True)]
    assert found["right"]["model"] == sum(hits)
    game.again()
    assert game.clips == []
    finish(
        game, [next(label for label in game.predictions.classes if label != right) for right in truth(game)]
    )
    assert game.result()["right"]["you"] == 0


def test_nothing_is_told_to_the_page_before_the_reveal(game: Game) -> None:
    game.answer("sad")
    known = json.dumps(
        {name: getattr(game, name) for name in ("about", "answers", "stage", "clips")}, ensure_ascii=False
    )
    assert game.clips == [] and not any(
        u in known or game.corpus.table.at[u, "text"] in known for u in game.ids
    )
    sent = []
    game.send = lambda content, buffers=(): sent.append((content, len(buffers)))
    game._on_message(game, {"do": "load", "clip": 2}, [])
    assert sent == [({"kind": "clip", "clip": 2, "seed": 3}, 1), ({"kind": "answered"}, 0)]


def test_answers_can_be_taken_back_and_missing_ones_are_told(game: Game) -> None:
    for label in ("sad", "angry"):
        game._on_message(game, {"do": "answer", "label": label}, [])
    game._on_message(game, {"do": "back"}, [])
    assert game.answers == ["sad"]
    game._on_message(game, {"do": "reveal"}, [])
    assert "9 of 10 clips have no answer" in game.problem and game.stage == "playing"
    game._on_message(game, {"do": "answer", "label": "joy"}, [])
    assert "no emotion here" in game.problem
    for _ in range(12):
        game._on_message(game, {"do": "answer", "label": "sad"}, [])
    assert len(game.answers) == 10, "no more answers than clips"
    game._on_message(game, {"do": "reveal"}, [])
    game.answer("happy")
    game.back()
    assert game.stage == "revealed" and game.answers == ["sad"] * 10, (
        "after the reveal nothing can be changed"
    )


def test_an_unfinished_game_leaves_no_trace_and_a_finished_one_is_saved_when_asked(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path / "cache"))
    game.answer("sad")
    with pytest.raises(VcemoError, match="not finished"):
        game.save(tmp_path / "mine.json")
    game.again()
    assert game.answers == [] and not list(tmp_path.rglob("*.json"))
    finish(game, truth(game))
    assert not list(tmp_path.rglob("*.json"))
    kept = json.loads(game.save(tmp_path / "mine.json").read_text(encoding="utf-8"))
    assert (
        kept["simulated"] is True
        and kept["seed"] == game.seed
        and len(kept["clips"]) == 10
        and kept["right"]["you"] == 10
    )


def test_without_votes_there_are_no_raters(part: vc.Corpus, said: Predictions) -> None:
    from dataclasses import replace

    bare_part = replace(part, table=part.table.drop(columns="votes"))
    game = Game(bare_part, said)
    finish(game, truth(game))
    assert all(clip["votes"] == {} for clip in game.clips) and "raters" not in game.twin()


def test_the_twin_is_a_game_by_itself(game: Game) -> None:
    bundle, _ = game._repr_mimebundle_()
    still = bundle["text/html"]
    assert still.count("<audio") == 10 and still.count("<details") == 11 and "simulated" in still
    first = still[: still.index("<details")]
    assert not any(label in first.split("</p>")[1] for label in game.predictions.classes), (
        "the answer stands inside what is unfolded"
    )
    assert len(still) < 300_000


def test_answers_of_another_part_are_refused(part: vc.Corpus, said: Predictions) -> None:
    with pytest.raises(VcemoError, match="only"):
        Game(part.subset(part.ids[:30]), said)
