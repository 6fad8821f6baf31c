"""Training: our loop against a plain DataLoader loop in float32, its share of the machine's arithmetic, and
how it grows.

All in one run, on features drawn at random: log-mel, word vectors and sentence vectors of clips of 2.7 s on
average. On a
processor the model is `tutorial()`'s, on an NVIDIA GPU `paper()`'s, there with 50 epochs of the paper's 5,981
utterances too.
"""

from __future__ import annotations

import shutil
import time
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from machine import arguments, describe, in_turns, keep, timed
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from vcemo_lib import training
from vcemo_lib.corpora import LABELS
from vcemo_lib.loading import InMemoryDataset, Ragged, pre_pool
from vcemo_lib.losses import joint, supcon
from vcemo_lib.models import Batch, Settings, build, paper, parameters, tutorial
from vcemo_lib.training.loop import mean_losses

GPU = torch.cuda.is_available()
BLOCK = 1000  # utterances drawn; a larger corpus repeats them
PAPER_UTTERANCES = 5981  # of VCEMO's training part
LONG, SHORT = (
    (150, 391),
    (
        40,
        101,
    ),
)  # frames of a clip; short ones where 100,000 must fit into a small machine's memory


class Store:
    """Features of n utterances in memory, an array each, as a FeatureStore hands them out: float16."""

    def __init__(self, n: int, widths: dict[str, int], frames: tuple[int, int] = LONG) -> None:
        rng = np.random.default_rng(0)
        self.widths, self.n = widths, n
        spans = {"mel": frames, "words": (2, 13), "bert": (5, 24)}  # rows of an utterance
        draw = min(n, BLOCK)
        self.block = {
            kind: [rng.standard_normal((rng.integers(*spans[kind]), width)).astype(np.float16)
                   for _ in range(draw)]
            for kind, width in widths.items()
        }  # fmt: skip
        self.labels = rng.integers(len(LABELS), size=n)

    def get(self, kind: str, i: int) -> np.ndarray:
        return self.block[kind][i % BLOCK]

    def features(self) -> InMemoryDataset:
        """The whole in memory, as `loading.gather` gives it."""
        kinds, times = {}, -(-self.n // BLOCK)
        for kind, arrays in self.block.items():
            rows = torch.from_numpy(np.concatenate(arrays)).repeat(times, 1)
            lengths = torch.tensor([len(a) for a in arrays]).repeat(times)
            if times > 1:
                lengths = lengths[: self.n]
                rows = rows[: int(lengths.sum())]
            kinds[kind] = Ragged.of(rows, lengths)
        ids = [str(i) for i in range(self.n)]
        return InMemoryDataset(ids, torch.from_numpy(self.labels), np.array(["?"] * self.n), kinds)


class Items(Dataset):
    """Utterances one by one, as a plain loop reads them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __len__(self) -> int:
        return self.store.n

    def __getitem__(self, i: int) -> tuple[int, dict[str, torch.Tensor], int]:
        return (
            i,
            {kind: torch.from_numpy(self.store.get(kind, i)).float() for kind in self.store.widths},
            int(self.store.labels[i]),
        )


def padded(items: list) -> Batch:
    """pad_sequence for each kind."""
    tensors: dict[str, torch.Tensor] = {}
    for kind in items[0][1]:
        tensors[kind] = pad_sequence([features[kind] for _, features, _ in items], batch_first=True)
        tensors[f"{kind}_len"] = torch.tensor([len(features[kind]) for _, features, _ in items])
    return Batch(
        [str(i) for i, _, _ in items], labels=torch.tensor([label for *_, label in items]), **tensors
    )


class Plain:
    """One epoch as tutorials write it: DataLoader, float32, one loss looked at a step."""

    def __init__(self, model: nn.Module, store: Store, s: Settings) -> None:
        self.model, self.s, self.where = model.to(training.device()).train(), s, training.device()
        self.loader = DataLoader(Items(store), s.batch_size, shuffle=True, collate_fn=padded, num_workers=0)
        self.optimizer = (torch.optim.AdamW if s.optimizer == "adamw" else torch.optim.Adam)(
            model.parameters(), s.lr, weight_decay=s.weight_decay
        )

    def __call__(self) -> float:
        total = 0.0
        for batch in self.loader:
            batch = batch.to(self.where)
            said = self.model(batch)
            loss = joint(
                F.cross_entropy(said.logits, batch.labels),
                supcon(said.projection, batch.labels),
                self.s.alpha,
            )
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.s.clip or float("inf"))
            self.optimizer.step()
            total += loss.item()
        return total


class Ours:
    """The same epoch as `fit` runs it."""

    def __init__(self, model: nn.Module, features: InMemoryDataset, s: Settings) -> None:
        model.settings = s.but(augment=0)
        self.train = pre_pool(model, features).to(training.device())
        self.learner, self.s, self.epochs = (
            training.Learner(model.to(training.device()), model.settings),
            s,
            0,
        )
        if GPU and shutil.which("cc"):
            self.learner.compile_attention()

    def __call__(self, steps: int | None = None) -> int:
        self.epochs += 1
        losses, sizes = [], []
        for i, index in enumerate(self.train.plan(self.s.batch_size, np.random.default_rng(self.epochs))):
            if i == steps:
                break
            found = self.learner.step(self.train.batch(index), torch.from_numpy(index).to(training.device()))
            losses.append(found)
            sizes.append(len(index))
        mean_losses(losses, sizes)  # on a GPU: waits for all of them
        return len(losses)


def clock(taken: SimpleNamespace) -> float:
    """Seconds that say what the work costs: processor time, which other work disturbs little; of a GPU, wall
    time.
    """
    return taken.wall if GPU else taken.cpu


def arithmetic(ours: Ours) -> float:
    """Floating point operations of one training step: what torch counts, and the LSTMs, which it does not."""
    recurrent = []

    def count(lstm: nn.LSTM, given: tuple, _: object) -> None:
        steps = given[0].shape[0] * given[0].shape[1]  # B * T
        recurrent.append(
            3 * 2 * steps * 4 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)
        )  # forward, and twice that back

    lstms = [m for m in ours.learner.model.modules() if isinstance(m, nn.LSTM)]
    hooks = [m.register_forward_hook(count) for m in lstms]
    with FlopCounterMode(display=False) as counter:
        ours(steps=1)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() + sum(recurrent)


def ceiling() -> float:
    """Floating point operations a second of the largest matrix product that torch does here: float32, on a
    GPU bfloat16.
    """
    size, kind = (8192, torch.bfloat16) if GPU else (1024, torch.float32)
    a = torch.randn(size, size, dtype=kind, device=training.device())

    def product() -> None:
        for _ in range(10):
            a @ a
        if GPU:
            torch.cuda.synchronize()

    product()
    return max(10 * 2 * size**3 / clock(one) for one in (in_turns([product], 1)[0] for _ in range(5)))


def grown(sizes: list[int], s: Settings, widths: dict[str, int], steps: int) -> list[dict[str, float]]:
    """Of corpora of these sizes: seconds to make them ready, a step, a whole epoch (from its steps), and the
    features' memory.
    """
    rows = []
    for n in sizes:
        features = Store(n, widths, LONG if GPU else SHORT).features()
        with timed() as ready:
            ours = Ours(build("vcemo", s, widths), features, s)
        ours(steps=2)
        with timed() as taken:
            ours(steps=steps)
        done = min(steps, -(-n // s.batch_size))
        memory = sum(
            r.rows.nbytes + r.lengths.nbytes + r.starts.nbytes for r in ours.train.sequences.values()
        )
        step = clock(taken) / done
        rows.append(
            {
                "utterances": n,
                "ready_s": clock(ready),
                "step_ms": 1000 * step,
                "epoch_s": step * -(-n // s.batch_size),
                "features_mb": memory / 1e6,
            }
        )
    return rows


def at_paper_size(widths: dict[str, int]) -> dict[str, float]:
    """Wall seconds of 50 epochs on the paper's number of utterances, with one view, and with two and the
    queue.
    """
    found = {}
    for name, s in (
        ("one view", paper(augment=0)),
        ("two views, queue of 16,384", paper(augment=0, views=2, queue=16_384)),
    ):
        ours = Ours(build("vcemo", s, widths), Store(PAPER_UTTERANCES, widths).features(), s)
        ours()  # compiles
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(50):
            ours()
        found[name] = time.perf_counter() - start
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--utterances", type=int, default=PAPER_UTTERANCES if GPU else 512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    s = paper(augment=0) if GPU else tutorial(augment=0)
    widths = {"mel": 80, "words": 300, "bert": s.bert_width}
    store = Store(options.utterances, widths)
    plain, ours = (
        Plain(build("vcemo", s, widths), store, s),
        Ours(build("vcemo", s, widths), store.features(), s),
    )
    plain(), ours()  # which warms both up
    slow, fast = in_turns([plain, ours], options.repeats)
    model, unit = "paper()" if GPU else "tutorial()", "wall" if GPU else "processor"
    print(
        f"{options.utterances} utterances, {model}, {parameters(plain.model):,} parameters, batches of"
        f" {s.batch_size}; {describe()}"
    )
    print(f"{'way':34s} {'utterances/s':>12s} {unit + ' ms/utterance':>24s}")
    for name, taken in (("DataLoader, float32", slow), ("fit's loop", fast)):
        print(
            f"{name:34s} {options.utterances / taken.wall:12.0f}"
            f" {1000 * clock(taken) / options.utterances:24.3f}"
        )
    ratio = clock(slow) / clock(fast)
    print(
        f"ratio: {ratio:.1f} in {unit} time, {slow.wall / fast.wall:.1f} in wall time (medians of"
        f" {options.repeats})"
    )

    operations, peak = arithmetic(ours), ceiling()
    share = operations / (clock(fast) / -(-options.utterances // s.batch_size)) / peak
    print(
        f"a step is {operations / 1e9:.2f} GFLOP; largest product {peak / 1e9:,.0f} GFLOP/s; share of it"
        f" {share:.1%}"
    )

    rows = grown(options.sizes, s, widths, steps=20 if GPU else 6)
    print(f"with more utterances, of {'2.7' if GPU else '0.7'} s each:")
    print(f"{'utterances':>10s} {'ready s':>8s} {'step ms':>8s} {'epoch s':>8s} {'features MB':>12s}")
    for row in rows:
        print(
            f"{row['utterances']:10,d} {row['ready_s']:8.2f} {row['step_ms']:8.1f} {row['epoch_s']:8.1f}"
            f" {row['features_mb']:12.0f}"
        )
    whole = at_paper_size(widths) if GPU else {}
    for name, seconds in whole.items():
        print(f"50 epochs of {PAPER_UTTERANCES:,} utterances, {name}: {seconds:.0f} s")
    if not GPU:
        print(
            f"50 epochs of {PAPER_UTTERANCES:,} utterances at the paper's size: to be measured on a GPU;"
            " there is none here"
        )
    if options.write:
        note = f"`{model}`, {share:.0%} of the arithmetic that the largest matrix product reaches"
        keep(
            "training",
            what="`training.fit`'s epoch",
            against="a DataLoader loop in float32",
            ratio=ratio,
            note=note,
            ratio_wall=slow.wall / fast.wall,
            utterances=options.utterances,
            gflop_a_step=operations / 1e9,
            share_of_ceiling=share,
            growth=rows,
            paper_size_s=whole,
        )


if __name__ == "__main__":
    main()
