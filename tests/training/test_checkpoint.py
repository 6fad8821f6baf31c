"""Files of tensors and facts: whole, checked, with the umask's mode."""

from __future__ import annotations

import os
import stat

import pytest
import torch
from tiny_training import train

from vcemo_lib.errors import VcemoError
from vcemo_lib.training import checkpoint

TENSORS = {
    "a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3), "c": torch.zeros(0, 4),
    "d": torch.tensor([True, False]), "e": torch.ones(3, dtype=torch.bfloat16),
}  # fmt: skip
FACTS = {"name": "人", "numbers": [1, 2.5]}


def test_a_torn_checkpoint_is_told(store, parts, tmp_path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(VcemoError, match="not a whole checkpoint"):
        train(store, parts, tmp_path)


def test_what_is_saved_is_loaded(tmp_path) -> None:
    path = checkpoint.save(tmp_path / "new" / "x.safetensors", TENSORS, FACTS)
    tensors, facts = checkpoint.load(path)
    assert facts == FACTS and tensors.keys() == TENSORS.keys()
    assert all(
        t.dtype == TENSORS[name].dtype and torch.equal(t, TENSORS[name]) for name, t in tensors.items()
    )
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_a_flipped_bit_is_noticed(tmp_path) -> None:
    path = checkpoint.save(tmp_path / "x.safetensors", TENSORS, FACTS)
    whole, wrong = path.read_bytes(), 0
    for place in range(8, len(whole), 5):  # the first eight bytes are the header's length
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            tensors, facts = checkpoint.load(path)
        except VcemoError as error:
            wrong += 1
            assert "\n" not in str(error)
        else:  # in the name of the digest, or in padding: nothing that counts has changed
            assert facts == FACTS and all(torch.equal(t, TENSORS[name]) for name, t in tensors.items())
    assert wrong > (len(whole) - 8) // 5 - 10


@pytest.mark.skipif(os.name == "nt", reason="no umask on Windows")
def test_the_file_has_the_umasks_mode(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        path = checkpoint.save(tmp_path / "x.safetensors", TENSORS, FACTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_cannot_be_read_is_told(tmp_path) -> None:
    with pytest.raises(VcemoError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "absent")
    with pytest.raises(VcemoError, match="checkpoint"):
        checkpoint.load(tmp_path)
