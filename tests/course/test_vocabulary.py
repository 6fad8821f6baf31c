"""Neighbours of words, and words without a vector."""

from __future__ import annotations

import pytest

from vcemo_lib import VcemoError, text
from vcemo_lib.course.vocabulary import coverage, nearest


def test_neighbours_are_the_words_of_largest_cosine_without_those_left_out() -> None:
    nlp = text.load_words()
    found = nearest("高兴", nlp, n=5)
    assert "开心" in dict(found) and "高兴" not in dict(found) and len(found) == 5
    assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)
    assert "开心" not in dict(nearest("高兴", nlp, n=5, without=("开心",)))
    (vector,) = text.word_vectors(["高兴"], nlp)
    assert nearest(vector, nlp, n=1)[0] == ("高兴", pytest.approx(1.0, abs=1e-3))
    with pytest.raises(VcemoError, match="no vector"):
        nearest("zzzzqq", nlp)


def test_shares_of_running_words_add_to_one() -> None:
    covered = coverage(["高兴高兴", "zzzzqq"], text.load_words())
    assert covered["whole"] == pytest.approx(2 / 3) and covered["unknown"] == pytest.approx(1 / 3)
    assert covered["by_characters"] == 0 and covered["lacking"] == [("zzzzqq", 1)]
