"""The devices that TensorFlow sees here."""

from __future__ import annotations

import tensorflow as tf


def device_names() -> list[str]:
    """Their names as graphs write them: ``/cpu:0``."""
    return ["/" + ":".join(device.name.split(":")[1:]).lower() for device in tf.config.list_logical_devices()]
