"""CTranslate2's files are read by hand."""

from __future__ import annotations

import numpy as np
from tiny_whisper import as_ct2, ct2_file, tiny_whisper

from vcemo_lib.weights.whisper import from_ctranslate2, read_ctranslate2


def test_the_ctranslate2_reader_reads_every_type():
    variables = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3), "b/c": np.array([-1, 2], np.int8),
        "s": np.asarray(np.int16(8)),
        "i": np.array([[70_000]], np.int32), "h": np.array([0.5, -2], np.float16),
    }  # fmt: skip
    found = read_ctranslate2(ct2_file(variables))
    assert list(found) == list(variables)
    for name, value in variables.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


def test_ctranslate2_names_become_those_of_openai_whisper():
    state = from_ctranslate2(as_ct2(tiny_whisper()))
    assert state.keys() == tiny_whisper().keys()
    for name, value in tiny_whisper().items():
        np.testing.assert_array_equal(state[name], value, err_msg=name)
