"""From a clip to an emotion: `EmotionRecognizer.load().predict("clip.wav")`. Everything happens on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcemo_lib import audio, features
from vcemo_lib.errors import VcemoError

if TYPE_CHECKING:
    from vcemo_lib.loading import Features
    from vcemo_lib.runs import Run

BUNDLED = "recogniser"  # folder of data/models/: trained on VCEMO-Sim, so on simulated speech
SHORTEST_S = 0.3  # shorter than a syllable: nothing to hear
SILENT_DB = -60.0  # dB re full scale of the loudest 10 ms
CLIPPED_SHARE = 0.005  # of the samples at full scale: the microphone was overdriven

Clip = str | Path | np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What the recogniser says about one clip."""

    emotion: str
    probabilities: dict[str, float]
    transcript: str
    words: tuple[Any, ...]  # vcemo_lib.asr.Word: text, start, end (s); empty where the text was given
    seconds: float
    warnings: tuple[str, ...] = ()
    attention: dict[str, list] = field(default_factory=dict, repr=False)  # "pool": weight of each token

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the attention maps."""
        plain = asdict(self)
        del plain["attention"]
        return plain


def checked(clip: Clip) -> tuple[np.ndarray, tuple[str, ...]]:
    """A clip's samples, (N,) at 16 kHz, and warnings. Raises VcemoError where there is nothing to judge."""
    wave = audio.load(clip)
    name = clip if isinstance(clip, str | Path) else "recording"
    if len(wave) < SHORTEST_S * audio.SAMPLE_RATE:
        raise VcemoError(f"the clip lasts {len(wave) / audio.SAMPLE_RATE:.2f} s", where=name, do=f"record at least {SHORTEST_S} s of speech")
    steps = wave[: len(wave) // audio.HOP * audio.HOP].reshape(-1, audio.HOP)
    loudest = 10 * np.log10(np.square(steps, dtype=np.float64).mean(1).max() + 1e-12)
    if loudest < SILENT_DB:
        raise VcemoError("the clip is silent", where=name, do="check the microphone, speak up and try again")
    clipped = float(np.mean(np.abs(wave) > 0.999))
    return wave, (f"{clipped:.1%} of the samples are clipped; move away from the microphone",) if clipped > CLIPPED_SHARE else ()


class EmotionRecognizer:
    """A trained run and what it needs to judge new clips: Whisper for the words, the encoders for the features."""

    def __init__(self, run: Run, whisper: str = "base") -> None:
        self.run, self.whisper = run, whisper
        self.classes = run.classes

    @classmethod
    def load(cls, source: Path | str | None = None, whisper: str = "base") -> EmotionRecognizer:
        """The bundled recogniser, one saved in a folder, or one on the Hugging Face hub ("user/name")."""
        from vcemo_lib import weights
        from vcemo_lib.runs import Run

        if source is None:
            return cls(Run.load(weights.bundled(BUNDLED)), whisper)
        if not Path(source).exists() and str(source).count("/") == 1 and not str(source).startswith("."):
            return cls(Run.load(_from_hub(str(source))), whisper)
        return cls(Run.load(source), whisper)

    def save(self, folder: Path | str) -> Path:
        """Write `run.safetensors` into a folder."""
        return self.run.save(folder)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the run to the Hugging Face hub; needs a login (`hf auth login`). Returns the commit's address."""
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi()
        api.create_repo(repository, exist_ok=True, **options)
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            return str(api.upload_folder(repo_id=repository, folder_path=folder))

    def predict(
        self,
        clips: Clip | Sequence[Clip],
        text: str | Sequence[str] | None = None,
        mute: Sequence[str] = (),
        same_speaker: bool = False,
    ) -> Prediction | list[Prediction]:
        """The emotion of a clip, or of each of a list: a path, or samples (N,) at 16 kHz.

        text          what was said, where it is known; else Whisper listens
        mute          modalities the model must do without: "audio", "words", "bert"
        same_speaker  the clips are one person's: their voice is then measured against itself
        Raises VcemoError for a clip that is unreadable, silent or too short.
        """
        if isinstance(clips, str | Path | np.ndarray):
            return self.predict([clips], None if text is None else [str(text)], mute, same_speaker)[0]
        if strange := set(mute) - set(self.run.settings.modalities):
            raise VcemoError(f"there is no modality {', '.join(sorted(strange))} to mute", do=f"this model has {', '.join(self.run.settings.modalities)}")
        ready = [checked(clip) for clip in clips]
        waves = [wave for wave, _ in ready]
        heard, words = list(text) if text is not None else [""] * len(waves), [()] * len(waves)
        if text is None and {"words", "bert"} & set(self.run.settings.modalities):
            from vcemo_lib import asr

            transcripts = asr.transcribe(waves, self.whisper, word_times=True, progress=False)
            heard, words = [t.text for t in transcripts], [t.words or () for t in transcripts]
        output = self.judge(self.features(waves, heard, mute, same_speaker))
        return [
            Prediction(
                emotion=self.classes[int(row.argmax())],
                probabilities={label: round(float(p), 4) for label, p in zip(self.classes, row, strict=True)},
                transcript=line,
                words=spans,
                seconds=round(len(wave) / audio.SAMPLE_RATE, 3),
                warnings=told,
                attention={"pool": pool.tolist()},
            )
            for row, pool, line, spans, wave, (_, told) in zip(*output, heard, words, waves, ready, strict=True)
        ]

    def features(self, waves: Sequence[np.ndarray], texts: Sequence[str], mute: Sequence[str] = (), same_speaker: bool = False) -> Features:
        """The scaled features of clips with their words; a muted modality is an empty sequence."""
        import torch

        from vcemo_lib.loading import Features, Ragged

        model, kinds = self.run.model, {}
        for modality in self.run.settings.modalities:
            kind = model.kinds[modality]
            made = features.KINDS[kind].make(waves if features.KINDS[kind].of == "audio" else texts)
            arrays = [np.zeros((0, model.widths[kind]), np.float32) if modality in mute else array for array in made]
            rows = torch.from_numpy(np.concatenate(arrays).astype(np.float32))
            kinds[kind] = Ragged.of(rows, torch.tensor([len(a) for a in arrays]))
        ids = [f"clip{i}" for i in range(len(waves))]
        speakers = np.array(["?"] * len(waves))
        part = Features(ids, torch.zeros(len(waves), dtype=torch.int64), speakers, kinds, {k: r.lengths.numpy() for k, r in kinds.items()})
        # A voice heard once cannot be measured against itself: it is measured against the training part.
        scaler = replace(self.run.scaler, by_speaker={})
        if same_speaker and self.run.settings.speaker_norm and "audio" not in mute:
            scaler.learn_speakers(part)
        return scaler.apply(part)

    def judge(self, part: Features) -> tuple[np.ndarray, list[np.ndarray]]:
        """Probabilities (N, C) of scaled features, and each clip's pooling weights over its tokens."""
        import torch

        from vcemo_lib.runs import autocast

        where = next(self.run.model.parameters()).device
        rows, pools = [], []
        with torch.inference_mode(), autocast(where):
            for i in range(len(part)):  # one by one: a few clips, no padding, no waiting for the longest
                output = self.run.model.eval()(part.to(where).batch(np.array([i])))
                rows.append(output.logits.float().softmax(-1)[0].cpu().numpy())
                pools.append(output.attention["pool"][0].float().cpu().numpy())
        return np.stack(rows), pools


def _from_hub(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    from vcemo_lib import weights

    if weights.offline():
        raise VcemoError(f"{repository} is on a hub and VCEMO_OFFLINE is set", do="give the path of a saved run")
    try:
        return Path(hf_hub_download(repository, "run.safetensors"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise VcemoError(f"could not get {repository} from the hub: {type(error).__name__}", do="check the name and the network, or give the path of a saved run") from error
