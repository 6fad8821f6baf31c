"""Whisper base: a plain `whisper.transcribe` loop against `asr.transcribe`, over the same clips in one run.

Both at temperature 0 with the same prompt, after one clip each to warm up; nothing comes from the cache.
`transcribe` runs before and after the loop, so that what else the machine does meets both alike. The clips
are spread evenly over the test part of VCEMO-Sim, or are the .wav files of a folder that has a
`transcripts.tsv` (name, text).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from machine import arguments, describe, keep, timed

from vcemo_lib import asr, audio
from vcemo_lib.corpora import load_corpus, splits


def plain(model, clip: Path) -> str:
    fp16 = model.device.type == "cuda"
    return model.transcribe(
        audio.load(clip), language="zh", initial_prompt=asr.MANDARIN_PROMPT, temperature=0.0, fp16=fp16
    )["text"]


def clips_of(folder: Path | None, count: int) -> tuple[list[Path], list[str]]:
    """Paths and what is said in them."""
    if folder:
        rows = [
            line.split("\t")
            for line in (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines()[:count]
        ]
        return [folder / name for name, _ in rows], [text for _, text in rows]
    test = splits.given(load_corpus("sim"))["test"]
    ids = [test.ids[i] for i in np.linspace(0, len(test) - 1, min(count, len(test))).astype(int)]
    return [test.path(u) for u in ids], [test.text_of(u) for u in ids]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument(
        "--folder", type=Path, help="other clips than VCEMO-Sim's, with their transcripts.tsv"
    )
    options = parser.parse_args()
    paths, said = clips_of(options.folder, options.clips)
    model = asr.load_model()
    plain(model, paths[0])
    asr.transcribe(paths[:1], cache=False, progress=False)
    with timed() as fast:
        ours = [one.text for one in asr.transcribe(paths, cache=False, progress=False)]
    with timed() as slow:
        theirs = [plain(model, path) for path in paths]
    with timed() as again:
        asr.transcribe(paths, cache=False, progress=False)
    fast.wall, fast.cpu = (fast.wall + again.wall) / 2, (fast.cpu + again.cpu) / 2
    count = len(paths)
    seconds = sum(len(audio.load(path)) for path in paths) / audio.SAMPLE_RATE / count
    print(f"{count} clips, {seconds:.1f} s each on average; {describe()}")
    print(f"{'way':28s} {'clips/s':>8s} {'processor s/clip':>17s} {'CER':>7s}")
    for name, taken, texts in (("whisper.transcribe, a loop", slow, theirs), ("asr.transcribe", fast, ours)):
        print(f"{name:28s} {count / taken.wall:8.2f} {taken.cpu / count:17.3f} {asr.cer(said, texts):7.1%}")
    wall, cpu = slow.wall / fast.wall, slow.cpu / fast.cpu
    print(f"ratio: {wall:.1f} in clips a second, {cpu:.1f} in processor time")
    if options.write and not options.folder:
        cer, plain_cer = asr.cer(said, ours), asr.cer(said, theirs)
        note = f"CER {cer:.1%} against {plain_cer:.1%}, {count} clips"
        what, against = "`asr.transcribe`, Whisper base", "a loop of `whisper.transcribe`"
        keep(
            "asr",
            what=what,
            against=against,
            ratio=wall,
            note=note,
            ratio_cpu=cpu,
            cer=cer,
            plain_cer=plain_cer,
            clips=count,
        )


if __name__ == "__main__":
    main()
