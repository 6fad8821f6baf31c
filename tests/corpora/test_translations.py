"""VCEMO-Sim for readers of English: every sentence is translated, and a corpus shows it."""

import vcemo_lib as vc
from vcemo_lib.corpora import sim
from vcemo_lib.paths import repo_data


def test_every_sentence_of_the_corpus_shows_its_english() -> None:
    english = vc.load_corpus("sim").table.groupby("text")["english"].agg(set)
    assert len(english) > 1_800 and all(len(of) == 1 for of in english)
    assert set().union(*english) <= set(sim.translations().values()), "and none is empty"


def test_every_sentence_that_a_rebuilt_corpus_may_deal_has_a_translation_of_its_own() -> None:
    sentences = repo_data() / "build" / "vcemo_sim" / "sentences.tsv"
    written = {line.split("\t")[0] for line in sentences.read_text(encoding="utf-8").splitlines()[1:]}
    translated = sim.translations()
    assert set(translated) == written
    for text, line in translated.items():
        assert line == line.strip() and len(line) >= 5 and line.isascii() and '"' not in line, text
        assert line[-1] in ".?!" and line[0].isupper(), text
    # No two sentences share a translation: one pasted into another's row would.
    assert len(set(translated.values())) == len(translated)


def test_other_corpora_have_an_empty_english() -> None:
    corpus = vc.load_corpus("sim")
    table = corpus.table.head(3).reset_index().assign(votes="").drop(columns="english")
    assert set(vc.corpora.from_table("mine", table, corpus.root).table["english"]) == {""}
