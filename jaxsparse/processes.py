"""A function over many things, on all cores: in processes of their own.

    this process   how to ─▶          the largest task ─▶            the next ─▶ …
    a worker               "ready" ─▶                     its result ─▶

Workers are new Pythons, no forks: a fork waits for ever for a lock that another thread
held. They share a pipe each with this process, and nothing else. Signals are blocked in
them, so that this process alone answers a Ctrl-C; a worker leaves when the other end of
its pipe is gone, however this process ended.
"""

import functools
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_on_all_cores(
    make: Callable[[], Callable[[Task], Result]],
    tasks: Sequence[Task],
    size: Callable[[Task], int],
    done: Callable[[int], None],
) -> list[Result]:
    """The results in the order of the tasks. The largest task begins first, so that it
    does not run alone in the end.

    On one core, or with one task, all is done in this process.

    Args:
        make: makes the function, once in each process. It is pickled, as tasks and
            results are: a function of a module, or a `partial` of one.
        done: is told 1 for each task.

    Raises:
        ChildProcessError: a worker died.
        Exception: what a worker raised, with its traceback as a note.
    """
    number = min(cores(), len(tasks))
    if number > 1:
        return _map_on_workers(number, make, tasks, size, done)
    function, results = make(), []
    for task in tasks:
        results.append(function(task))
        done(1)
    return results


def _map_on_workers(
    number: int,
    make: Callable[[], Callable[[Task], Result]],
    tasks: Sequence[Task],
    size: Callable[[Task], int],
    done: Callable[[int], None],
) -> list[Result]:
    to_do = sorted(range(len(tasks)), key=lambda index: size(tasks[index]))
    results: dict[int, Result] = {}
    with ExitStack() as stack:
        workers = dict(stack.enter_context(_worker()) for _ in range(number))
        for pipe, process in workers.items():
            _ask(pipe, process, make)
        busy: dict[Connection, int | None] = dict.fromkeys(workers)  # None: with `make`
        while busy:
            ready = wait([*busy])
            for pipe in [pipe for pipe in busy if pipe in ready]:
                answer = _answer(pipe, workers[pipe])
                if (index := busy.pop(pipe)) is not None:
                    results[index] = answer
                    done(1)
                if to_do:
                    busy[pipe] = index = to_do.pop()
                    _ask(pipe, workers[pipe], tasks[index])
    return [results[index] for index in range(len(tasks))]


def call(function: Callable[[Task], Result], task: Task) -> Result:
    """The same for one task, in another process in any case."""
    with _worker() as (pipe, process):
        _ask(pipe, process, functools.partial(functools.partial, function))
        _answer(pipe, process)
        _ask(pipe, process, task)
        return _answer(pipe, process)


@contextmanager
def _worker() -> Iterator[tuple[Connection, subprocess.Popen[bytes]]]:
    """A new process that does `work`, and our end of its pipe."""
    our_end, its = socket.socketpair()
    ours = Connection(our_end.detach())
    program = f"import sys; sys.path[:] = {sys.path!r}; "
    program += f"from {__name__} import work; work({its.fileno()})"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its.close()  # then our end tells when the process is gone
    with process, ours:
        try:
            yield ours, process
        finally:
            process.kill()


def _ask(pipe: Connection, process: subprocess.Popen[bytes], what: object) -> None:
    try:
        pipe.send(what)
    except OSError:
        raise _death(process) from None


def _answer(pipe: Connection, process: subprocess.Popen[bytes]) -> Any:
    try:
        result, error = pipe.recv()
    except (EOFError, OSError):
        raise _death(process) from None
    if error is not None:
        raise error
    return result


def _death(process: subprocess.Popen[bytes]) -> ChildProcessError:
    status = process.wait()
    how = f"ended with status {status}"
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    if status == -signal.SIGKILL:
        how += ", as the system does when memory runs out"
    return ChildProcessError(
        f"one of the processes that share the work {how}; run it again, "
        "on fewer cores if memory is short (on Linux: taskset -c 0 ./run.sh …)"
    )


def work(pipe_number: int) -> None:
    """What a worker does: whatever it is asked, until nobody can ask any more."""
    pipe = Connection(pipe_number)
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    with suppress(OSError):  # of the pipe: nobody waits for the answer
        function, error = _outcome(pickle.loads(asked.get()))
        pipe.send((None, error))
        while True:
            pipe.send(_outcome(function, pickle.loads(asked.get())))


def _listen(pipe: Connection, asked: queue.SimpleQueue[bytes]) -> None:
    """In a thread of its own, so that a worker that is busy leaves at once, too."""
    with suppress(EOFError, OSError):
        while True:
            asked.put(pipe.recv_bytes())
    os._exit(1)


def _outcome(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """What a function returned, and what it raised."""
    try:
        return function(*arguments), None
    except Exception as error:
        error.add_note(f"In another process:\n{traceback.format_exc()}")
        return None, error
