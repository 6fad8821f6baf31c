"""Stage 2: who says what, and how; speakers, sentences, cues, votes and splits, drawn from one seed.

Cause and effect:  speaker, main emotion, second emotion -> words' cue -> sentence
                   speaker, both emotions, voice's cue   -> prosody target -> sound
                   both emotions                          -> three raters' votes -> label (their majority)
"""

from __future__ import annotations

import csv
import json
import tomllib
from dataclasses import asdict, dataclass

import numpy as np
from common import EMOTIONS, HERE, read_sentences

HUMAN = HERE.parent.parent / "vcemo_sim" / "human"
PARTS = ("train", "val", "test")
# The measures of human prosody that are simulated, in the order of every vector here.
MEASURES = ("log2_duration", "f0_median_semitones", "log2_f0_range", "f0_slope_semitones_per_utterance",
            "level_db", "hf_ratio_1to5k_over_below1k_db", "hnr_db")  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """A simulated speaker; `shift` holds her own deviation from the mean shift, emotion -> (measures,)."""

    speaker: str
    kind: str
    split: str
    f0_hz: float
    formant: float
    log2_tempo: float
    log2_f0_range: float
    tilt_db_per_octave: float
    breathiness_db: float
    level_db: float
    noise_snr_db: float
    expressiveness: float
    shift: dict[str, list[float]]


@dataclass(frozen=True)
class Utterance:
    """One planned utterance; `prosody` is the target relative to the speaker's neutral, (measures,)."""

    utt_id: str
    speaker: str
    split: str
    text: str
    surface: str
    words_cue: str
    voice_cue: str
    main_emotion: str
    second_emotion: str
    second_weight: float
    votes: tuple[str, ...]
    emotion: str
    prosody: list[float]
    tremor: float
    seed: int


def design() -> dict:
    """The settings of `design.toml`."""
    return tomllib.loads((HERE / "design.toml").read_text(encoding="utf-8"))


def human_shifts() -> dict[str, dict[str, np.ndarray]]:
    """CASIA's shift from neutral: emotion -> {"mean", "between", "within"}, each (measures,)."""
    table: dict[str, dict[str, np.ndarray]] = {
        e: {k: np.zeros(len(MEASURES)) for k in ("mean", "between", "within")} for e in EMOTIONS
    }
    with (HUMAN / "prosody_shift_from_neutral.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["corpus"] == "casia" and row["feature"] in MEASURES:
                column, emotion = MEASURES.index(row["feature"]), table[row["emotion"]]
                emotion["mean"][column] = float(row["mean_shift"])
                emotion["between"][column] = float(row["sd_between_speakers"])
                emotion["within"][column] = float(row["sd_within_speaker"])
    # Nobody measured how neutral scatters; it is given the mean spread of the five others within a speaker.
    table["neutral"]["within"] = np.mean([table[e]["within"] for e in EMOTIONS if e != "neutral"], axis=0)
    return table


def within_correlation() -> np.ndarray:
    """How the deviations within a speaker move together, (measures, measures)."""
    with (HUMAN / "prosody_within_speaker_correlation_casia.csv").open(encoding="utf-8") as file:
        rows = {row[""]: row for row in csv.DictReader(file)}
    return np.array([[float(rows[a][b]) for b in MEASURES] for a in MEASURES])


def human_votes() -> np.ndarray:
    """P(a rater's vote | the majority), (6, 6), from IEMOCAP, without votes for labels that we lack."""
    shares = np.zeros((6, 6))
    with (HUMAN / "rater_vote_given_majority_iemocap.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row[""] in EMOTIONS:
                shares[EMOTIONS.index(row[""])] = [float(row[e]) for e in EMOTIONS]
    return shares / shares.sum(1, keepdims=True)


def within(value: float, low: float, high: float, digits: int) -> float:
    """The value cut to the limits, rounded."""
    return round(float(np.clip(value, low, high)), digits)


def make_speakers(settings: dict, rng: np.random.Generator) -> list[Speaker]:
    """120 speakers with their part; women, men and children spread over the parts as `design.toml` says."""
    human, spread, own = human_shifts(), settings["spread"], settings["speaker"]
    kinds = [
        (kind, part)
        for kind in ("women", "men", "children")
        for part, n in zip(PARTS, settings["speakers"][kind], strict=True)
        for _ in range(n)
    ]
    speakers = []
    for number, place in enumerate(rng.permutation(len(kinds))):
        kind, part = kinds[place]
        voice = settings["voice"][kind]
        shift = {
            e: (spread["between_speakers"] * rng.normal(0, human[e]["between"])).round(4).tolist()
            for e in EMOTIONS
        }
        speakers.append(
            Speaker(
                speaker=f"s{number + 1:03d}",
                kind={"women": "woman", "men": "man", "children": "child"}[kind],
                split=part,
                f0_hz=round(voice["f0_hz"] * 2 ** (rng.normal(0, voice["f0_sd_semitones"]) / 12), 1),
                formant=within(rng.normal(voice["formant"], voice["formant_sd"]), 0.82, 1.15, 3),
                log2_tempo=round(rng.normal(own["mean_log2_tempo"], own["log2_tempo"]), 3),
                log2_f0_range=round(rng.normal(0, own["log2_f0_range"]), 3),
                tilt_db_per_octave=round(rng.normal(0, own["tilt_db_per_octave"]), 2),
                breathiness_db=round(rng.normal(0, own["breathiness_db"]), 2),
                level_db=round(rng.normal(0, own["level_db"]), 2),
                noise_snr_db=within(rng.normal(*own["noise_snr_db"]), 22, 55, 1),
                expressiveness=round(2 ** rng.normal(0, own["log2_expressiveness"]), 3),
                shift=shift,
            )
        )
    return speakers


class Decks:
    """Sentences of a part, dealt without replacement: all of a kind are dealt before any comes twice."""

    def __init__(self, rows: list[dict[str, str]], rng: np.random.Generator) -> None:
        self.rng, self.cards, self.left = rng, {}, {}
        for row in rows:
            self.cards.setdefault((row["meant"] or row["surface"], row["strength"]), []).append(row)

    def deal(self, emotion: str, strength: str) -> dict[str, str]:
        key = (emotion, strength)
        if not self.left.get(key):
            self.left[key] = [self.cards[key][i] for i in self.rng.permutation(len(self.cards[key]))]
        return self.left[key].pop()


def split_sentences(
    rows: list[dict[str, str]], shares: np.ndarray, rng: np.random.Generator
) -> dict[str, list[dict[str, str]]]:
    """Each sentence to one part, every kind in the same shares; those alike but for marks stay together."""
    parts: dict[str, list[dict[str, str]]] = {p: [] for p in PARTS}
    kinds: dict[tuple, dict[str, list]] = {}
    for row in rows:
        bare = row["text"].translate(str.maketrans("", "", "，。？！"))
        kind = kinds.setdefault((row["meant"] or row["surface"], row["strength"]), {})
        kind.setdefault(bare, []).append(row)
    for groups in kinds.values():
        order = [list(groups.values())[i] for i in rng.permutation(len(groups))]
        ends = np.round(np.cumsum(shares) * len(order)).astype(int)
        for part, start, end in zip(PARTS, [0, *ends[:-1]], ends, strict=True):
            parts[part] += [row for group in order[start:end] for row in group]
    return parts


def deal_sentence(
    decks: Decks, words: dict, main: str, second: str, weight: float, rng: np.random.Generator
) -> tuple[dict[str, str], str]:
    """A sentence for an emotion, and what its words give away: clear, hint, none, irony or mislead."""
    shares = words["neutral" if main == "neutral" else "emotional"]
    cue = str(rng.choice(list(shares), p=list(shares.values())))
    if cue == "irony" and (main, "irony") not in decks.cards:
        cue = "none"
    if cue == "mislead":
        other = str(rng.choice([e for e in EMOTIONS if e != main]))
        return decks.deal(other, "hint"), cue
    if cue == "none":
        return decks.deal("neutral", "none"), cue
    # Where two emotions are felt, the words may come from the second.
    shown = second if second and cue != "irony" and rng.random() < weight else main
    return decks.deal(shown, cue), cue


class Raters:
    """Three raters; their votes, given the majority, follow the human table.

    With three votes and a majority, P(vote = majority) = 1 - dissent / 3, where dissent is how often one
    rater differs.
    """

    def __init__(self, human: np.ndarray, settings: dict, rng: np.random.Generator) -> None:
        self.rng, self.settings = rng, settings
        self.dissent = np.clip(3 * (1 - np.diag(human)), 0.0, 1.0)  # (6,)
        other = human * (1 - np.eye(6)) + 0.005 * (1 - np.eye(6))
        self.confused = other / other.sum(1, keepdims=True)  # (6, 6): what is heard instead

    def second_emotion(self, main: int) -> tuple[int | None, float]:
        """Emotions that raters disagree on more often are more often felt together with another."""
        if self.rng.random() >= self.settings["per_dissent"] * self.dissent[main]:
            return None, 0.0
        second = self.other_than(main)
        return second, float(self.rng.uniform(*self.settings["weight"]))

    def other_than(self, emotion: int) -> int:
        """Another emotion, drawn by how often raters hear it instead."""
        return int(self.rng.choice(6, p=self.confused[emotion]))

    def draw(self, main: int, second: int | None, weight: float) -> tuple[list[int], int]:
        """Three votes and the label, their majority."""
        if second is None:
            chance = self.settings["label_is_other"]
        else:
            chance = self.settings["label_is_second"] * weight
        label = main
        if self.rng.random() < chance:
            label = second if second is not None else self.other_than(main)
        # Dissent is likelier where a second emotion is there to be heard, and has the human rate on average.
        rate, share = self.dissent[label], self.settings["per_dissent"] * self.dissent[label]
        with_second = 0.5 + 0.5 * rate
        without = max(0.0, rate - share * with_second) / (1 - share)
        votes = [label] * 3
        if self.rng.random() < (with_second if second is not None else without):
            heard = second if second is not None and second != label else main
            dissenter = heard if heard != label else self.other_than(label)
            votes[int(self.rng.integers(3))] = dissenter
        return votes, label


def plan(calibration: dict[str, list[float]] | None = None) -> tuple[list[Speaker], list[Utterance], dict]:
    """The whole plan, and a report of what was drawn; `calibration` moves the mean shifts (calibrate.py)."""
    settings = design()
    rng = np.random.default_rng(settings["seed"])
    human, correlation = human_shifts(), within_correlation()
    root = np.linalg.cholesky(correlation)
    means = {e: np.array(calibration[e]) if calibration else human[e]["mean"] for e in EMOTIONS}
    votes_table = human_votes()

    speakers = make_speakers(settings, rng)
    counts = np.array([sum(s.split == p for s in speakers) for p in PARTS])
    parts = split_sentences(read_sentences(), counts / counts.sum(), rng)
    decks = {p: Decks(parts[p], rng) for p in PARTS}
    raters = Raters(votes_table, settings["second_emotion"], rng)

    mix = np.array([settings["emotion"][e] for e in EMOTIONS])
    utterances = []
    for speaker in speakers:
        n = settings["utterances_per_speaker"]
        quota = rng.multinomial(n, mix / mix.sum())
        mains = rng.permutation(np.repeat(np.arange(6), quota))
        for number, main in enumerate(mains):
            other, weight = raters.second_emotion(main)
            votes, label = raters.draw(main, other, weight)
            name, other_name = EMOTIONS[main], EMOTIONS[other] if other is not None else ""
            row, cue = deal_sentence(decks[speaker.split], settings["words"], name, other_name, weight, rng)
            voice = str(rng.choice(("clear", "hint", "none"), p=settings["voice_cue"][cue]))
            scale = settings["voice_cue_scale"][voice] * speaker.expressiveness
            felt = {name: 1 - weight, **({other_name: weight} if other_name else {})}
            shift = sum(
                w * (means[e] * scale + np.array(speaker.shift[e]) * min(scale, 1.0)) for e, w in felt.items()
            )
            spread = settings["spread"]["within_speaker"] * human[name]["within"]
            scatter = spread * (root @ rng.normal(size=len(MEASURES)))
            utterances.append(
                Utterance(
                    utt_id=f"{speaker.speaker}_{number + 1:02d}",
                    speaker=speaker.speaker,
                    split=speaker.split,
                    text=row["text"],
                    surface=row["surface"],
                    words_cue=cue,
                    voice_cue=voice,
                    main_emotion=name,
                    second_emotion=other_name,
                    second_weight=round(weight, 3),
                    votes=tuple(EMOTIONS[v] for v in votes),
                    emotion=EMOTIONS[label],
                    prosody=(shift + scatter).round(4).tolist(),
                    tremor=round(felt.get("fear", 0.0) * scale, 3),
                    seed=int(rng.integers(2**31)),
                )
            )
    heard = np.zeros((6, 6))
    for utterance in utterances:
        for vote in utterance.votes:
            heard[EMOTIONS.index(utterance.emotion), EMOTIONS.index(vote)] += 1
    heard /= heard.sum(1, keepdims=True)
    report = {
        "speakers": len(speakers),
        "utterances": len(utterances),
        "sentences_used": len({u.text for u in utterances}),
        "label_is_main_emotion": round(float(np.mean([u.emotion == u.main_emotion for u in utterances])), 4),
        "second_emotion_share": round(float(np.mean([u.second_emotion != "" for u in utterances])), 4),
        "unanimous_share": round(float(np.mean([len(set(u.votes)) == 1 for u in utterances])), 4),
        "vote_given_majority": {
            e: {"human": round(votes_table[i, i], 3), "simulated": round(heard[i, i], 3)}
            for i, e in enumerate(EMOTIONS)
        },
    }
    return speakers, utterances, report


if __name__ == "__main__":
    speakers, utterances, report = plan()
    print(json.dumps(report, indent=1))
    from collections import Counter

    print(Counter(u.emotion for u in utterances), Counter(u.main_emotion for u in utterances))
    print(asdict(speakers[0]))
    print(*utterances[:4], sep="\n")
