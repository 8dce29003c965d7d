"""The devices that TensorFlow sees here."""

from __future__ import annotations

import tensorflow as tf


def device_names() -> list[str]:
    """Their names as graphs write them: ``/cpu:0``."""
    return ["/" + ":".join(device.name.split(":")[1:]).lower() for device in tf.config.list_logical_devices()]


def version() -> str:
    """TensorFlow's version."""
    return str(tf.__version__)


def threads() -> tuple[int, int]:
    """The threads within an operator and those across operators; 0 where TensorFlow chooses."""
    threading = tf.config.threading
    return threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
