"""Joins the processes of a run on several hosts, before JAX is asked for a device."""

import inspect
import re
from typing import Any

import jax

from experiments import signals
from experiments.jobs import flags_of
from jaxsparse.types import InputError, brief

FLAGS = flags_of("sweep")

EXPLICIT = ("coordinator", "num_processes", "process_id")
SECONDS_TO_MEET = 300
SECONDS_TO_PART = 10  # they wait for one another before; who does not come has failed


def join() -> None:
    """Does nothing for a lone process.

    Raises:
        InputError: flags that do not belong together; no cluster is found, or not all
            of its processes.
    """
    given = _explicit()
    if not given and not FLAGS.distributed:
        return
    try:
        jax.distributed.initialize(**given, **_patience())
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        if given:
            raise InputError(
                f"--coordinator={FLAGS.coordinator}: the processes did not meet "
                f"({brief(error)}); start all of them, with the same address"
            ) from error
        raise InputError(
            f"--distributed: no cluster was found ({brief(error)}); start it on all "
            "hosts of a TPU VM slice, by srun or mpirun, or give --coordinator, "
            "--num_processes and --process_id"
        ) from error
    finally:
        # JAX's notifier of preemption has taken SIGTERM over, and would swallow it.
        signals.take_again()


def _patience() -> dict[str, Any]:
    """How long JAX waits for processes, as far as its version can be told."""
    seconds = {
        "initialization_timeout": SECONDS_TO_MEET,
        "shutdown_timeout_seconds": SECONDS_TO_PART,
    }
    known = inspect.signature(jax.distributed.initialize).parameters
    return {name: value for name, value in seconds.items() if name in known}


def _explicit() -> dict[str, Any]:
    """What --coordinator and its companions say, as JAX calls it; empty without."""
    values = {name: FLAGS[name].value for name in EXPLICIT}
    lacking = [f"--{name}" for name, value in values.items() if value is None]
    if len(lacking) == len(EXPLICIT):
        return {}
    if lacking:
        raise InputError(
            f"{' and '.join(lacking)} missing; --coordinator, --num_processes and "
            "--process_id go together"
        )
    if FLAGS.distributed:
        raise InputError("--distributed and --coordinator exclude each other")
    address = re.fullmatch(r"\S+:(\d{1,5})", FLAGS.coordinator)
    if address is None or not 0 < int(address[1]) < 1 << 16:
        raise InputError(
            f"--coordinator={FLAGS.coordinator}: not an address; host:port, such as "
            "localhost:12345"
        )
    if FLAGS.process_id >= FLAGS.num_processes:
        raise InputError(
            f"--process_id={FLAGS.process_id}: with --num_processes="
            f"{FLAGS.num_processes} the last is {FLAGS.num_processes - 1}"
        )
    return {
        "coordinator_address": FLAGS.coordinator,
        "num_processes": FLAGS.num_processes,
        "process_id": FLAGS.process_id,
        "cluster_detection_method": "deactivate",
    }
