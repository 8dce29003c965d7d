"""What workers are made to do in tests: die by TensorFlow's own hand, take memory, tell their process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfsql.isolation.requests import EvaluateCall, KernelRecipe, Request
from tfsql.kernel import Kernel
from tfsql.rows import Rows


def _meet_a_fatal_check() -> None:
    tf.raw_ops.UnicodeDecodeWithOffsets(input=["a"], input_encoding="UTF-8", Tsplits=tf.int32)


class _FatalKernel(Kernel):
    def call(self, rows: list[Rows], count: int, *, is_uniform: bool) -> list[Rows]:
        _meet_a_fatal_check()
        raise AssertionError("TensorFlow 2.21 does not survive that call")


class FatalRecipe(KernelRecipe):
    """A kernel whose call meets a fatal check of TensorFlow, as an operator with a fault does."""

    def made(self, held: Mapping[int, Any]) -> Kernel:
        return _FatalKernel(held[self.traces], self.name, self.argument_values)


@dataclass(frozen=True)
class TellProcess(Request):
    """The process of the worker."""

    def answer(self, held: Mapping[int, Any]) -> int:
        return os.getpid()


@dataclass(frozen=True)
class TakeMemory(Request):
    """Takes so much memory, bit by bit, and how much it was."""

    limit_bytes: int

    def answer(self, held: Mapping[int, Any]) -> int:
        taken = []
        while sum(part.nbytes for part in taken) < self.limit_bytes:
            taken.append(np.ones(2**20))
        return sum(part.nbytes for part in taken)


class FatalEvaluation(EvaluateCall):
    """A call on constants that meets a fatal check of TensorFlow."""

    def answer(self, held: Mapping[int, Any]) -> list[np.ndarray]:
        _meet_a_fatal_check()
        raise AssertionError("TensorFlow 2.21 does not survive that call")
