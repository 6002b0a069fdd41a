"""The composition root: settings, logs, clock, cluster, operator, probes and kopf, and the exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys

from taskq import __version__
from taskq.clock import Clock, SystemClock
from taskq.cluster import credentials
from taskq.cluster.session import Session
from taskq.controller import handlers
from taskq.controller.replica import Operator
from taskq.errors import SettingsError, TaskQError
from taskq.observability import logs
from taskq.observability.metrics import Metrics
from taskq.observability.server import Server
from taskq.settings import Settings, unknown_variables
from taskq.web.access import QUESTIONS
from taskq.web.listener import Listener
from taskq.web.why import Why

logger = logging.getLogger("taskq")

KINDS = 7
"""Watches a namespace: six informers, and kopf's; each holds a connection."""

COLLECT_AFTER = (20_000, 10, 10)
"""Objects made before the garbage collector looks, and how often it looks at the older ones. What a Task leaves behind
goes without it; by default it would walk all that waits several times while the first lists come in."""


def main() -> None:
    """Run the operator until a signal (exit code 0), or until it can't go on (1)."""
    gc.freeze()  # modules stay
    gc.set_threshold(*COLLECT_AFTER)
    settings = Settings.load(sys.argv[1:], os.environ)
    logs.configure(settings.log_format, settings.log_level)
    for name in unknown_variables(os.environ):
        logger.warning("the environment variable %s sets nothing", name)
    try:
        sys.exit(asyncio.run(serve(settings)))
    except SettingsError as error:
        logger.error("%s", error)  # noqa: TRY400 - a port that is taken needs no traceback
        sys.exit(2)
    except TaskQError as error:
        logger.error("%s", error)  # noqa: TRY400 - nor does a wrong kubeconfig
        sys.exit(1)


async def serve(settings: Settings) -> int:
    """Run one replica; the exit code is 0 only after an orderly stop."""
    clock = SystemClock()
    metrics = Metrics(max_queues=settings.metrics_max_queues, max_schedules=settings.metrics_max_schedules)
    cluster = credentials.load(clock, kubeconfig=settings.kubeconfig, context=settings.context)
    session = Session(
        cluster,
        clock,
        pool_limit=settings.api_connections + KINDS * len(settings.namespaces) + QUESTIONS,
        inactivity_seconds=settings.watch_inactivity_seconds,
        observe=metrics.operator.api_request,
    )
    async with session:
        operator = Operator(session, settings, clock, metrics, jitter=random.Random().random)  # noqa: S311
        server = Server(
            settings.http_address, metrics, health={"dispatcher": operator.stuck}, ready={"caches": operator.unsynced}
        )
        await server.start()
        listener = await _answer(operator, session, settings, clock) if settings.api_address else None
        logger.info("taskq-operator %s serves %s at %s", __version__, _scope(settings), session.server)
        try:
            return await _run_beside_kopf(operator, session, settings)
        finally:
            await server.stop()
            if listener:
                await listener.stop()


async def _answer(operator: Operator, session: Session, settings: Settings, clock: Clock) -> Listener:
    """Begin to say why Tasks wait."""
    why = Why(
        session,
        operator.board,
        operator.stores.tasks,
        clock,
        standing=operator.standing,
        anonymous=settings.api_anonymous,
        requests_per_second=settings.api_requests_per_second,
        namespaces=settings.namespaces,
    )
    listener = Listener(settings, why.app())
    await listener.start()
    return listener


async def _run_beside_kopf(operator: Operator, session: Session, settings: Settings) -> int:
    """Start our tasks before kopf's: at its exit kopf cancels whatever was started after it."""
    stop_flag = asyncio.Event()
    running = asyncio.create_task(operator.run(), name="operator")
    running.add_done_callback(lambda _: stop_flag.set())
    stopped = False

    async def stop() -> None:
        nonlocal stopped
        stopped = not running.done()
        await operator.stop()

    registry = handlers.registry(session, wake=operator.dispatcher.wake, stop=stop)
    await handlers.run(registry, identity=settings.identity, namespaces=settings.namespaces, stop_flag=stop_flag)
    if stopped:
        running.cancel()
        logger.info("stopped")
        return 0
    if not running.cancelled() and running.done() and (error := running.exception()):
        logger.critical("the operator failed", exc_info=error)
    else:
        logger.critical("the lease is lost: exiting, so that nothing of this term goes on")
    return 1


def _scope(settings: Settings) -> str:
    return f"namespaces {', '.join(settings.namespaces)}" if settings.namespaces else "the whole cluster"


if __name__ == "__main__":
    main()
