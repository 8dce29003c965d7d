"""What TensorFlow runs on."""

from __future__ import annotations

import tensorflow as tf


def version() -> str:
    """TensorFlow's version."""
    return str(tf.__version__)


def devices() -> dict[str, int]:
    """How many devices there are of each kind: ``{'CPU': 1}``."""
    kinds = [device.device_type for device in tf.config.list_physical_devices()]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def threads() -> tuple[int, int]:
    """The threads within an operator and those across operators; 0 where TensorFlow chooses."""
    threading = tf.config.threading
    return threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
