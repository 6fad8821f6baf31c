"""Train the bundled recogniser, data/models/recogniser/: `python data/build/train_recogniser.py`.

Unlike the notebooks' models it must judge a single clip of a stranger, and better where other clips of the
voice are given: `speaker_norm="mixed"`. Words are Whisper's, as they will be when it is used.
"""

from __future__ import annotations

import json
import runpy

import vcemo_lib as vc
from vcemo_lib.course.sweeps import enrolment_curve
from vcemo_lib.paths import repo_data, write_atomically

SEED = 0


def main() -> None:
    corpus = vc.load_corpus("sim")
    parts = vc.splits.given(corpus)
    store = vc.features.compute(corpus, kinds=("mel", "words", "bert"), text="asr")
    model = vc.models.build("vcemo", vc.models.tutorial(speaker_norm="mixed"), seed=SEED)
    run = vc.training.fit(model, store, parts, seed=SEED)
    folder = repo_data() / "models" / "recogniser"
    run.save(folder)
    test = run.predict(parts["test"]).intervals().round(4)
    curve = enrolment_curve(run, parts["test"]).xs("ua", level="score").round(4)
    about = {"corpus": "VCEMO-Sim (simulated)", "fingerprint": corpus.fingerprint()}
    about |= {"seed": SEED, "text": "asr", "test": test.to_dict("index")}
    about |= {"ua_by_enrolled_clips": curve[["value", "low", "high"]].to_dict("index")}
    write_atomically(folder / "about.json", json.dumps(about, indent=1) + "\n")
    runpy.run_path(str(repo_data() / "build" / "sign.py"), run_name="__main__")
    print(test, curve, sep="\n")


if __name__ == "__main__":
    main()
