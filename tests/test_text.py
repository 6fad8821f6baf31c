"""Words and sentences as vectors: the bundled ones know Chinese; batches and padding change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from vcemo_lib import text, weights
from vcemo_lib.errors import VcemoError

LINES = [
    "你到底有完没完？",
    "",
    "今天天气真好，我们出去走走吧",
    "嗯",
    "她哭了一整夜，谁劝也没有用，我心里难受极了。",
]


@pytest.fixture(scope="module")
def nlp():
    return text.load_words()


@pytest.fixture(scope="module")
def bert():
    return text.load_bert()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_words_are_a_spacy_vocabulary(nlp):
    assert len(nlp.vocab.vectors) >= 20_000
    doc = nlp("我们高兴极了")
    assert [token.text for token in doc][:2] == ["我们", "高兴"]
    assert doc[1].has_vector and doc[1].vector.shape == (300,)
    np.testing.assert_array_equal(doc[1].vector, text.word_vectors("我们高兴极了", nlp)[1])
    assert doc[1].similarity(nlp("开心")[0]) == pytest.approx(
        cosine(*text.word_vectors(["高兴", "开心"], nlp)), abs=1e-5
    )


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [
        ("高兴", "开心", "桌子"),
        ("狗", "猫", "合同"),
        ("生气", "愤怒", "窗户"),
        ("医生", "护士", "香蕉"),
        ("害怕", "恐惧", "邮票"),
    ],
)
def test_the_words_know_what_is_near(nlp, bert, word, near, far):
    for one, good, bad in (text.word_vectors([word, near, far], nlp), bert.pooled([word, near, far])):
        assert cosine(one, good) > cosine(one, bad) + 0.05


def test_sentences_of_one_meaning_are_near(bert):
    asked, same, other = bert.pooled(["我真的太难过了", "我心里伤心得很", "这台电脑多少钱"])
    assert cosine(asked, same) > cosine(asked, other) + 0.2


def test_a_word_without_a_vector_is_read_by_its_characters(nlp):
    word = "猫桌"
    assert not nlp.vocab.has_vector(word)
    parts = text.word_vectors(["猫", "桌"], nlp)
    np.testing.assert_allclose(text.word_vectors([word], nlp)[0], parts.mean(0), rtol=1e-6)
    assert not text.word_vectors(["\U0001f600"], nlp).any()  # nothing is known of it: zeros, not a guess


def test_latin_letters_are_looked_up_in_lower_case(nlp):
    assert nlp.vocab.has_vector("ok")
    np.testing.assert_array_equal(*text.word_vectors(["oK", "ok"], nlp))


def test_no_words_no_rows(nlp):
    for nothing in ("", "  ", "。？！"):
        assert text.words(nothing, nlp) == []
        assert text.word_vectors(nothing, nlp).shape == (0, 300)
    assert text.word_vectors([], nlp).shape == (0, 300)


def test_everyday_lines_are_covered(nlp):
    found = [word for line in LINES for word in text.words(line, nlp)]
    assert text.word_vectors(found, nlp).any(axis=1).all()
    assert np.mean([nlp.vocab.has_vector(word) for word in found]) > 0.8


def test_tokens_stand_as_written_with_cls_and_sep(bert):
    rows = bert.tokens(LINES)
    assert [row.shape for row in rows] == [
        (len(line) + 2, bert.width) for line in LINES
    ]  # one token a character
    assert all(row.dtype == np.float32 and np.isfinite(row).all() for row in rows)
    np.testing.assert_allclose(bert.pooled(LINES), np.stack([row.mean(0) for row in rows]), rtol=1e-5)
    np.testing.assert_allclose(bert.pooled(LINES, "cls"), np.stack([row[0] for row in rows]), rtol=1e-5)


def test_neither_batch_nor_padding_nor_order_changes_a_result(bert):
    together, backwards = bert.tokens(LINES), bert.tokens(LINES[::-1])[::-1]
    for line, row, other in zip(LINES, together, backwards, strict=True):
        np.testing.assert_allclose(row, bert.tokens([line])[0], atol=2e-5)
        np.testing.assert_allclose(row, other, atol=2e-5)


def test_small_batches_give_the_same(bert, monkeypatch):
    whole = bert.pooled(LINES)
    monkeypatch.setattr(text, "BATCH_TOKENS", 1)
    np.testing.assert_allclose(bert.pooled(LINES), whole, atol=2e-5)


def test_no_texts_and_too_long_a_text(bert):
    assert bert.tokens([]) == [] and bert.pooled([]).shape == (0, bert.width)
    (row,) = bert.tokens(["好" * 1000])
    assert len(row) == bert.model.config.max_position_embeddings


def test_the_encoder_is_frozen_and_loading_draws_no_random_number(bert):
    import torch

    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    text._load_bert.__wrapped__("bundled")
    assert torch.equal(before, torch.random.get_rng_state())
    assert not bert.model.training and not any(weight.requires_grad for weight in bert.model.parameters())


def test_what_was_loaded_is_on_record(nlp, bert):
    used = {row["name"]: row for row in weights.used()}
    assert used["bert-mini-zh"]["source"] == used["vectors-zh"]["source"] == "bundled"
    assert bert.name == "bert-mini-zh"


def test_a_folder_is_as_good_as_a_name(bert):
    again = text.load_bert(str(text.weights.bundled("bert-mini-zh")))
    np.testing.assert_allclose(again.pooled(LINES[:1]), bert.pooled(LINES[:1]), atol=1e-6)


def test_unknown_names_give_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("VCEMO_OFFLINE", "1")
    for load, name in (
        (text.load_bert, "no-such/encoder"),
        (text.load_bert, str(tmp_path)),
        (text.load_words, "no_such_md"),
    ):
        with pytest.raises(VcemoError) as told:
            load(name)
        assert name in str(told.value) and "\n" not in str(told.value)


def test_a_cut_off_weights_file_gives_one_clear_line(tmp_path):
    for file in text.weights.bundled("bert-mini-zh").iterdir():
        (tmp_path / file.name).write_bytes(
            file.read_bytes()[: 1_000_000 if file.suffix == ".safetensors" else None]
        )
    with pytest.raises(VcemoError, match="whole model.safetensors"):
        text.load_bert(str(tmp_path))


def test_a_pipeline_without_vectors_is_refused(tmp_path):
    import spacy

    spacy.blank("zh").to_disk(tmp_path / "bare")
    with pytest.raises(VcemoError, match="no word vectors"):
        text.load_words(str(tmp_path / "bare"))


def test_jieba_keeps_its_cache_with_ours(tmp_path, monkeypatch):
    import jieba

    monkeypatch.setenv("VCEMO_CACHE", str(tmp_path))
    monkeypatch.setattr(jieba.dt, "initialized", False)
    text._load_words.__wrapped__("bundled")
    assert (tmp_path / "jieba.cache").is_file(), "in the shared temporary folder anybody could plant one"


def test_an_encoder_that_brings_code_is_read_without_it(tmp_path):
    import json

    for file in weights.bundled("bert-mini-zh").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModel": "own.Own", "AutoConfig": "own.OwnConfig"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "own.py").write_text("raise SystemExit('foreign code was run')", encoding="utf-8")
    assert text.load_bert(str(tmp_path)).pooled(["好"]).shape == (1, config["hidden_size"])


def test_a_hub_name_is_read_from_its_snapshot_and_the_commit_is_on_record(tmp_path, monkeypatch):
    snapshot = tmp_path / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for file in weights.bundled("bert-mini-zh").iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(weights, "hub", lambda name: snapshot)
    assert text.load_bert("somebody/bert").name == "somebody/bert"
    (used,) = [row for row in weights.used() if row["name"] == "somebody/bert"]
    assert used["source"] == "hub, revision 0123abc" and len(used["sha256"]) == 64
