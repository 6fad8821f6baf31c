"""Several processes that train one model, against one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import QUEUED, train

from vcemo_lib.errors import VcemoError
from vcemo_lib.training import Run
from vcemo_lib.training.distributed import Team, connect


def test_alone_every_method_returns_what_it_was_given() -> None:
    team, x = connect(), torch.ones(3, requires_grad=True)
    assert team == Team(0, 1) and team.all_gather(x, 3) is x and team.broadcast("y") == "y"
    assert team.shard(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    team.average([x])
    assert torch.equal(x, torch.ones(3))


def test_shards_are_disjoint_and_complete_and_none_is_empty() -> None:
    shards = [Team(rank, 3).shard(np.arange(8)).tolist() for rank in range(3)]
    assert sorted(sum(shards, [])) == list(range(8)) and {len(s) for s in shards} == {2, 3}
    with pytest.raises(VcemoError, match="batches of 2 for 3 processes"):
        Team(0, 3).shard(np.arange(2))


TEAM = """
import json, sys
sys.path[:0] = [{tests!r}, {tests!r} + '/training']
import torch
torch.set_num_threads(1)
import synthetic
from tiny_training import N, train
from vcemo_lib.training.distributed import connect
said = []
for options in {runs!r}:
    run = train(synthetic.Store(synthetic.corpus(N)), synthetic.parts(N), **options)
    weights = torch.cat([t.flatten().double() for t in run.model.state_dict().values()])
    history = run.history.drop(columns="seconds").to_dict("list")
    said.append({{"size": connect().size, "history": history, "weights": [float(weights.sum()),
    float(weights.abs().sum())]}})
open({out!r} + f"/rank{{connect().rank}}.json", "w").write(json.dumps(said))
"""
EXACT = dict(
    dropout=0.0, text_dropout=0.0, modality_dropout=0.0, batch_size=9
)  # 32 utterances: shares of unequal size


def in_processes(count: int, tmp_path: Path, runs: list[dict]) -> list[list[dict]]:
    """Train by `accelerate launch` in processes that talk through gloo; what each found in each run."""
    script = tmp_path / "train.py"
    script.write_text(
        TEAM.format(tests=str(Path(__file__).parents[1]), runs=runs, out=str(tmp_path)), encoding="utf-8"
    )
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    flags = [
        "--multi_gpu",
        "--num_machines=1",
        "--mixed_precision=no",
        "--dynamo_backend=no",
        "--main_process_port=0",
    ]
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *flags,
        f"--num_processes={count}",
        str(script),
    ]
    done = subprocess.run(launch, env=env, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(count)]


@pytest.mark.slow
@pytest.mark.timeout(900)  # two more processes import torch: minutes on a busy machine
def test_two_processes_train_as_one(store, parts, tmp_path) -> None:
    """SupCon, queue and views see the whole batch: without dropout and BatchNorm, one process' losses."""
    options = EXACT | QUEUED | dict(modalities=("words", "bert"), out=str(tmp_path / "run"))
    first, second = in_processes(2, tmp_path, [options, {"epochs": 4, "lr": 1e-2}])
    assert first == second and first[0]["size"] == 2
    first, with_chance = first
    # With dropout and BatchNorm, whose draws and batches are another, the processes still agree, and learn.
    assert with_chance["history"]["loss"][-1] < with_chance["history"]["loss"][0]
    alone = train(store, parts, **options | {"out": None})
    for name, curve in first["history"].items():
        np.testing.assert_allclose(curve, alone.history[name], rtol=1e-3, atol=1e-5, err_msg=name)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["run.safetensors"]
    assert (
        Run.load(tmp_path / "run", store).predict(parts["test"]).scores()
        == alone.predict(parts["test"]).scores()
    )
