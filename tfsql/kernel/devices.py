"""The devices that TensorFlow sees here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import tensorflow as tf

from tfsql.errors import BindError
from tfsql.settings import ANY_DEVICE


def device_names() -> list[str]:
    """Their names as graphs write them: ``/cpu:0``."""
    return ["/" + ":".join(device.name.split(":")[1:]).lower() for device in tf.config.list_logical_devices()]


def on(name: str) -> AbstractContextManager[None]:
    """Where calls are made, as ``tfsql_device`` names it.

    Raises:
      BindError: TensorFlow sees no such device.
    """
    if name == ANY_DEVICE:
        return nullcontext()
    full = f"/{name}" if ":" in name else f"/{name}:0"
    seen = device_names()
    if full not in seen:
        shown = ", ".join(device.removeprefix("/") for device in seen)
        raise BindError(f"There is no device {name}: TensorFlow sees {shown}", hint="SET tfsql_device = 'auto'")
    return tf.device(full)  # type: ignore[no-any-return]


def use_threads(count: int) -> None:
    """Lets TensorFlow compute with so many threads, if it has not begun.

    Raises:
      BindError: it has begun with another number.
    """
    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() == count:
        return
    try:
        threading.set_intra_op_parallelism_threads(count)
    except RuntimeError:
        begun = threading.get_intra_op_parallelism_threads() or "as many threads as there are cores"
        raise BindError(
            f"TensorFlow has begun with {begun} in this process, so tfsql_threads cannot be {count} any more",
            hint="SET tfsql_threads before the first operator is called, or RESET it",
        ) from None


def version() -> str:
    """TensorFlow's version."""
    return str(tf.__version__)


def threads() -> tuple[int, int]:
    """The threads within an operator and those across operators; 0 where TensorFlow chooses."""
    threading = tf.config.threading
    return threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
