"""What made a number: plain values, nothing heavy imported for it, no path of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import synthetic

from vcemo_lib import provenance


def test_a_stamp_is_plain_and_names_corpus_and_features() -> None:
    corpus, store = synthetic.corpus(12), synthetic.Store(synthetic.corpus(12))
    made = provenance.stamp(corpus, store)
    assert json.loads(json.dumps(made)) == made
    assert made["fingerprint"] == corpus.fingerprint() and made["corpus"] == corpus.name
    assert made["simulated"] == corpus.simulated and made["features"] is None  # this store cannot tell
    assert not {"corpus", "features"} & provenance.stamp().keys()


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
