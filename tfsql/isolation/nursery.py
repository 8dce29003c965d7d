"""The nursery: a process that has imported TensorFlow and run nothing of it, and forks workers.

A fork takes one thread along, and TensorFlow starts its own with the first operator: so none may run here. What threads
there are, those of OpenBLAS and of Arrow's allocator, are ready to be forked. It is run with the number of its end of a
socket, and ends when the other end is closed.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
import traceback
import warnings

from tfsql.startup import import_tensorflow

FORK, WAIT = "fork", "wait"
_PACKET_BYTES = 4096


def main() -> None:
    """Serves: forks a worker that gets the three files which come along, or waits for the end of one."""
    control = socket.socket(fileno=int(sys.argv[1]))
    import_tensorflow()
    from tfsql.isolation import worker

    gc.collect()
    gc.freeze()  # so that the collector of a worker leaves the pages alone that all share
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    control.send(pickle.dumps(os.getpid()))
    while True:
        packet, files, _, _ = socket.recv_fds(control, _PACKET_BYTES, 3)
        if not packet:
            return
        what, process = pickle.loads(packet)
        if what == WAIT:
            control.send(pickle.dumps(os.waitpid(process, 0)[1]))
            continue
        child = os.fork()
        if not child:
            control.close()
            _work(worker.serve, files)
        for file in files:
            os.close(file)
        control.send(pickle.dumps(child))


def _work(serve: object, files: list[int]) -> None:
    """The life of a worker, without Python's end, which would wait for TensorFlow's threads."""
    code = 1
    try:
        asker, inputs, results = files
        serve(socket.socket(fileno=asker), inputs, results)  # type: ignore[operator]
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
