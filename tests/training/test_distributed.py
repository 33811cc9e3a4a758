"""Two processes on this machine, speaking gloo over 127.0.0.1, against one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from polymodal.training import all_gather_rows
from polymodal.training.distributed import shard, world

PROGRAM = """
import sys
import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from polymodal import Modalities
from polymodal.core.errors import ModalityError
from polymodal.encoders import MLPEncoder, build_encoders, choose_encoders, prepare_encoders
from polymodal.nn import Towers
from polymodal.training import Training, all_gather_rows, infer, seeded, train


def loss(module, batch):
    vectors, present = module(batch.columns)
    a, b = (nn.functional.normalize(all_gather_rows(vectors[name]), dim=1) for name in ("a", "b"))
    both = all_gather_rows(present["a"] & present["b"])
    scores = module.scale * a[both] @ b[both].T
    contrastive = nn.functional.cross_entropy(scores, torch.arange(len(scores)))
    return contrastive + (module.spare(vectors["a"]) - batch.target[:, None]).square().mean()


rng = np.random.default_rng(0)
x = rng.normal(size=(45, 4))
y = [None if i % 7 == 0 else row for i, row in enumerate(x @ rng.normal(size=(4, 3)))]
data = Modalities({"a": x, "b": y})
encoders = choose_encoders({"a": MLPEncoder(width=8), "b": MLPEncoder(width=8)}, data)
two = len(sys.argv) > 2
if two:
    dist.init_process_group("gloo")
with seeded(dist.get_rank() if two else 0):  # the first process's weights go to all
    module = Towers(build_encoders(encoders, prepare_encoders(encoders, data), 6))
    module.scale = nn.Parameter(torch.tensor(5.0))
    module.spare = nn.Linear(6, 1)
    module.unused = nn.Linear(2, 2)
options = Training(max_epochs=3, batch_size=15, learning_rate=0.01, validation=0.2, device="cpu", checkpoint=sys.argv[1] + ".ck")
target = torch.from_numpy(x[:, 0].astype(np.float32))
history = train(module, loss, data, collates=module.collates, options=options, random_state=0, target=target)
if two:
    try:
        train(module, loss, data, collates=module.collates, options=Training(batch_size=1, device="cpu"), random_state=0)
    except ModalityError as error:
        assert "2 processes" in str(error)
    else:
        raise AssertionError("a batch smaller than the number of processes must be refused")
if not two or dist.get_rank() == 0:
    weights = {k: v.numpy() for k, v in module.state_dict().items()}
    np.savez(sys.argv[1], loss=history.loss, validation=history.validation_loss, **weights)
if two:
    dist.destroy_process_group()
"""


def port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    common = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port()),
        "WORLD_SIZE": "2",
    }
    runs = [[str(tmp_path / "one.npz")]] + [[str(tmp_path / "two.npz"), "two"]] * 2
    ranks = ["0", "0", "1"]
    processes = [
        subprocess.Popen(
            [sys.executable, str(program), *run],
            env={**common, "RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for run, rank in zip(runs, ranks, strict=True)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    one, two = np.load(tmp_path / "one.npz"), np.load(tmp_path / "two.npz")
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-6, err_msg=name)


def test_alone_nothing_changes() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert all_gather_rows(rows) is rows
    assert world() == (0, 1)
    assert shard(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
