"""Usages: memory runs full. The message says so, and no other cause; afterwards the model is as usable as before."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from normlens.errors import OutOfMemory
from normlens.memory import is_out_of_memory, memory_explained

FULL = """
import json, resource, torch
import normlens
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=9000, n_embd=8, n_layer=1, n_head=2)).eval()
lens = normlens.load((model, None))
doors = {
    "analyze": lambda ids: lens.analyze(ids),
    "block": lambda ids: lens.analyze(ids, through="block"),
    **{
        method: lambda ids, method=method: lens.attribute(ids, method=method)
        for method in ("decompx", "alti", "norm_rollout", "rollout", "value_zeroing")
    },
    "logit": lambda ids: lens.attribute(ids, method="decompx", target=3),
    "gradient_input": lambda ids: lens.attribute(ids, method="gradient_input", target=3),
}
before = {name: door([1, 2, 3]) for name, door in doors.items()}
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 200_000_000, resource.RLIM_INFINITY))
answers = {}
for name, door in doors.items():
    try:
        door([1] * 9000)
    except Exception as error:
        answers[name] = type(error).__name__, str(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
answers["after"] = bool((lens.attribute([1, 2, 3]) == before["decompx"]).all())
print(json.dumps(answers))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the address space is Linux's")
def test_every_door_says_that_memory_is_full() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    assert answers.pop("after") is True
    assert len(answers) == 9
    for name, (kind, message) in answers.items():
        assert kind == "OutOfMemory", (name, kind, message)
        assert "B more could not be allocated" in message and "chunk_size" in message, (name, message)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has …"), "20 GiB more"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 648000000 bytes."),
            "648 MB more",
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 5000 bytes."), "5 kB more"),
        (RuntimeError("MPS backend out of memory (… Tried to allocate 1.50 GB on private pool."), "1.5 GB more"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "Out of memory. "),
        (RuntimeError("std::bad_alloc"), "Out of memory. "),
        (MemoryError(), "Out of memory. "),
    ],
)
def test_each_allocator_is_understood(error: BaseException, asked: str) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(OutOfMemory, match=asked), memory_explained():
        raise error


def test_numpy_is_understood() -> None:
    with pytest.raises(OutOfMemory, match="128 TiB more"), memory_explained():
        np.ones((2**44,))


@pytest.mark.parametrize("error", [RuntimeError("shapes (3, 4) and (5, 6) don't fit"), ValueError("out of memory")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, memory_explained():
        raise error
    assert raised.value is error
