"""What made a number: plain values, nothing heavy imported for it, no path of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
import synthetic

from vcemo_lib import provenance
from vcemo_lib.errors import VcemoError
from vcemo_lib.models import tutorial
from vcemo_lib.provenance import Recipe


def test_a_stamp_is_plain_and_names_corpus_and_features() -> None:
    corpus, store = synthetic.corpus(12), synthetic.Store(synthetic.corpus(12))
    made = provenance.stamp(corpus, store)
    assert json.loads(json.dumps(made)) == made
    assert made["fingerprint"] == corpus.fingerprint() and made["corpus"] == corpus.name
    assert made["simulated"] == corpus.simulated
    assert "features" not in made, "this store cannot tell"
    assert "corpus" not in provenance.stamp()


def test_versions_and_time_are_those_of_now() -> None:
    found = provenance.versions()
    assert found["numpy"] == version("numpy") and found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert abs(datetime.fromisoformat(provenance.now()) - datetime.now(UTC)).total_seconds() < 5


def test_a_stamp_imports_nothing_and_tells_of_threads_only_where_torch_is_loaded() -> None:
    code = (
        "import sys; from vcemo_lib import provenance; made = provenance.stamp();"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules);"
        "assert 'threads' not in made['hardware'] and made['hardware']['cores'] >= 1;"
        "import torch; torch.set_num_threads(1); assert provenance.hardware()['threads'] == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def recipe(parts: dict, store: object = None, **changes: object) -> Recipe:
    given = provenance.data(store or synthetic.Store(synthetic.corpus(12)), ("words",), parts)
    return Recipe.of("vcemo", tutorial(**changes), 0, given)


def test_a_recipe_is_another_where_anything_that_decides_is_another() -> None:
    parts = synthetic.parts(12)
    first = recipe(parts)
    assert first == recipe(synthetic.parts(12)) and first.key == recipe(synthetic.parts(12)).key
    assert Recipe(**json.loads(json.dumps(asdict(first)))).key == first.key, "as it is read from a file"
    keys = {first.key, recipe(parts, alpha=1.0).key, recipe({"train": parts["train"]}).key}
    keys.add(recipe(parts, synthetic.Store(synthetic.corpus(12), seed=1)).key)
    changes = {"asr": "人", "start": 0.5, "text": "人", "speaker": "x", "emotion": "sad"}
    for column, value in changes.items():
        keys.add(recipe({name: part.with_column(column, value) for name, part in parts.items()}).key)
    assert len(keys) == 9, "no two are the same"


def test_another_recipe_is_refused_in_a_line_that_names_the_difference(tmp_path) -> None:
    parts = synthetic.parts(12)
    with pytest.raises(VcemoError, match=r"another run \(settings.lr is 0.1, not 0.2\)"):
        recipe(parts, lr=0.2).require(recipe(parts, lr=0.1), tmp_path)
    with pytest.raises(VcemoError, match="of an earlier version"):
        recipe(parts).require(None, tmp_path)


def test_a_run_finds_its_own_part_again_and_no_other_corpus() -> None:
    whole, parts = synthetic.corpus(12), synthetic.parts(12)
    made = recipe(parts)
    assert made.part(whole, "test").ids == parts["test"].ids
    assert made.knows(parts["val"]) and not made.knows(whole.with_column("text", "人"))
    with pytest.raises(VcemoError, match="lacks utterances of the run's test part"):
        made.part(parts["train"], "test")
