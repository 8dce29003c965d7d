"""What a worker is asked for, and what it answers."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfsql.errors import BindError
from tfsql.infer import MAX_CELL_BYTES
from tfsql.infer.frozen import read_graph
from tfsql.infer.graphs import function_graph
from tfsql.kernel import Kernel, Program, Traces, devices
from tfsql.kernel.graph import Environment
from tfsql.rows import Rows
from tfsql.tree import Call


class CallFailedError(ValueError):
    """A call failed on its rows; the sentence that tells so."""


@dataclass(frozen=True)
class Asked:
    """A request on its way to a worker.

    Attributes:
      request: what is asked for.
      folder: the folder that relative paths start from; None for one that has been removed.
      threads: how many threads TensorFlow is to compute with, if it has not begun; None for one a core.
      new: what the request speaks of and the worker has not: a number, and a recipe that is pickled.
      gone: numbers that nobody will speak of any more.
      given_back: the ranges of answers that nobody reads any more: start and size.
    """

    request: Request
    folder: str | None
    threads: int | None = None
    new: Sequence[tuple[int, bytes]] = ()
    gone: Sequence[int] = ()
    given_back: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Answer:
    """What came of a request: a value, or an error."""

    value: Any = None
    error: Exception | None = None


class Recipe(ABC):
    """How a worker makes what requests then speak of by number."""

    @abstractmethod
    def made(self, held: Mapping[int, Any]) -> Any:
        """The thing itself."""


class Request(ABC):
    """Something that a worker does."""

    @abstractmethod
    def answer(self, held: Mapping[int, Any]) -> Any:
        """What comes of it.

        Args:
          held: what recipes have made, by number.
        """


class Held:
    """What a worker has made by recipes."""

    def __init__(self) -> None:
        self._things: dict[int, Any] = {}
        self._folder: str | None = None

    def answer(self, asked: Asked) -> Any:
        for number in asked.gone:
            self._things.pop(number, None)
        for number, recipe in asked.new:
            self._things[number] = pickle.loads(recipe).made(self._things)
        if asked.folder is not None and asked.folder != self._folder:
            os.chdir(asked.folder)
            self._folder = asked.folder
        if asked.threads is not None:
            with suppress(BindError):
                devices.use_threads(asked.threads)
        return asked.request.answer(self._things)


@dataclass(frozen=True)
class TracesRecipe(Recipe):
    """The traced functions of a program, none of them traced yet."""

    program: Program
    is_lowered: bool
    device: str

    def made(self, held: Mapping[int, Any]) -> Traces:
        return Traces(self.program, is_lowered=self.is_lowered, device=self.device)


@dataclass(frozen=True)
class KernelRecipe(Recipe):
    """A kernel.

    Attributes:
      traces: the number of its traced functions.
    """

    traces: int
    name: str
    argument_values: Sequence[np.ndarray]

    def made(self, held: Mapping[int, Any]) -> Kernel:
        return Kernel(held[self.traces], self.name, self.argument_values)


@dataclass(frozen=True)
class ComputeRows(Request):
    """The call of a kernel on rows: the rows of each output, and how many calls of TensorFlow it took.

    Attributes:
      kernel: its number.
      is_first: whether it is the first call of a query.
    """

    kernel: int
    rows: Sequence[Rows]
    count: int
    is_uniform: bool
    is_first: bool

    def answer(self, held: Mapping[int, Any]) -> tuple[list[Rows], int]:
        kernel: Kernel = held[self.kernel]
        if self.is_first:
            kernel.restart()
        kernel.reset_statistics()
        try:
            return kernel.call(list(self.rows), self.count, is_uniform=self.is_uniform), kernel.statistics.calls
        except kernel.failures as error:
            raise CallFailedError(kernel.failure(error)) from error


@dataclass(frozen=True)
class BatchingRules(Request):
    """How the rows of each call of a kernel are batched, in the order of its calls."""

    kernel: int

    def answer(self, held: Mapping[int, Any]) -> list[str]:
        kernel: Kernel = held[self.kernel]
        rules = kernel.rules()
        return [rules[call] for call in kernel.program.calls]


@dataclass(frozen=True)
class EvaluateCall(Request):
    """A call on constants: the arrays of its outputs, those of lists laid out."""

    call: Call

    def answer(self, held: Mapping[int, Any]) -> list[np.ndarray]:
        environment = Environment({}, MAX_CELL_BYTES)
        try:
            environment.evaluate(self.call)
            return [np.asarray(tensor.numpy()) for tensor in environment.outputs_of(self.call)]
        except Exception as error:
            raise CallFailedError(str(error)) from error


@dataclass(frozen=True)
class ReadGraph(Request):
    """The reading of a serialized graph, with the functions in it, which is then dropped."""

    content: bytes
    origin: str

    def answer(self, held: Mapping[int, Any]) -> None:
        try:
            graph = read_graph(self.content, self.origin)
            for function in graph.as_graph_def().library.function:
                function_graph(graph, function.signature.name)
        except Exception as error:
            raise CallFailedError(str(error)) from error
