"""Carries out what was decided: one method for each action, each safe to repeat after a crash at any point.

The rules of thumb: 409 on our own name is an answer and not an error; an answer that got lost is found out, never
guessed; what an answer shows of an object goes into the stores before the board hears that the request is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import msgspec

from taskq.clock import Clock
from taskq.cluster.manifests import Manifests
from taskq.cluster.session import Api, Reply
from taskq.cluster.store import Store
from taskq.domain import status
from taskq.domain.actions import (
    Action,
    FetchJob,
    FetchPods,
    FetchTask,
    KillPods,
    Launch,
    StopJob,
    WriteStatus,
)
from taskq.domain.board import Board
from taskq.domain.decoding import TaskDecoder, decode_job, decode_pod
from taskq.domain.model import Job, Key, Pod, Task
from taskq.domain.reasons import Reason, message
from taskq.domain.registry import Unlaunchable
from taskq.errors import ApiError, NotSent, RequestError, Unanswered
from taskq.resources.common import API_VERSION, STOP_REASON_ANNOTATION

logger = logging.getLogger(__name__)

TASKS = f"/apis/{API_VERSION}"
JOBS = "/apis/batch/v1"
PODS = "/api/v1"
MERGE_PATCH = "application/merge-patch+json"

LATE_MARGIN_SECONDS = 1.0
"""Added to the server's own timeout before a request without an answer counts as never applied."""

_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
"""Seconds between tries of a request that the server could not take."""

_LOOK_UP_SECONDS = 1.0
"""How soon a launch that lets time pass sees that its Task was edited, or is not wanted any more."""

_DOUBTS = 2
"""Requests in a row that came to nothing, as was found out after each, before a Task is told: one in a stormy moment
goes without saying."""

_TOO_LARGE = (
    "it is too large to be stored, with what every container is told of its Task; "
    "etcd takes 1.5 MiB unless set otherwise: use fewer containers, or a ConfigMap or volume for data"
)

_POD_FIELDS: dict[str, dict[str, str]] = {
    "all": {},
    "alive": {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"},
    "failed": {"fieldSelector": "status.phase=Failed"},
}

_encode = msgspec.json.Encoder().encode


class _PodList(msgspec.Struct):
    class Meta(msgspec.Struct, rename="camel"):
        resource_version: str

    metadata: Meta
    items: list[msgspec.Raw] = []


_decode_pods = msgspec.json.Decoder(_PodList).decode


class Observer(Protocol):
    """Told of what has happened, after it has: metrics and Events hang on it."""

    def posting(self, launch: Launch) -> None:
        """A Job is about to be created."""

    def launched(self, task: Task, job: Job, launch: Launch) -> None:
        """A Job was created."""

    def refused(self, queue: Key, reason: str) -> None:
        """The API server refused a Job."""

    def written(self, task: Task, write: WriteStatus) -> None:
        """A status stands."""

    def conflicted(self) -> None:
        """A status write met a newer version of its Task."""

    def late_post(self) -> None:
        """A request of a leader that had lost its lease was stopped at the last moment."""


@dataclass(frozen=True)
class Stores:
    """What is known of the kinds that effects feed."""

    tasks: Store[Task]
    jobs: Store[Job]
    pods: Store[Pod]


class Effects:
    """The only writer of Tasks' statuses and of Jobs."""

    def __init__(
        self,
        api: Api,
        board: Board,
        stores: Stores,
        *,
        clock: Clock,
        decode_task: TaskDecoder,
        may_write: Callable[[], bool],
        observer: Observer,
        create_timeout: float,
        request_timeout: float,
    ) -> None:
        """``may_write`` is asked right before each write; timeouts are in seconds."""
        self._api = api
        self._board = board
        self._stores = stores
        self._clock = clock
        self._decode_task = decode_task
        self._may_write = may_write
        self._observer = observer
        self._create_timeout = create_timeout
        self._timeout = request_timeout
        self.stopping = False
        """Launches that wait, or would ask once more, end instead."""
        self._manifests = Manifests(api, board, decode_task, timeout=request_timeout)

    async def perform(self, action: Action) -> None:
        """Do one thing, and tell the board how it went; never raises but for cancellation."""
        try:
            if isinstance(action, Launch):
                await self._launch(action)
            elif isinstance(action, WriteStatus):
                await self._write_status(action)
            else:
                await self._ask(action)
        except Exception:
            # A defect of TaskQ met by one object must not stop the others; the object is tried again later.
            logger.exception("%s failed", type(action).__name__)
            self._give_up(action)

    def _give_up(self, action: Action) -> None:
        now = self._clock.now()
        if isinstance(action, Launch):
            fault = (
                Reason.JOB_REFUSED,
                message(Reason.JOB_REFUSED, field="spec.jobTemplate", message="TaskQ can't build it; see its log"),
            )
            self._board.not_launched(action, fault, now)
        elif isinstance(action, WriteStatus):
            self._board.written(action, now, failed=True)
        else:
            self._board.asked(action, now, failed=True)

    # --- launching -------------------------------------------------------------------------------------------------

    async def _launch(self, launch: Launch) -> None:
        """Create the attempt's Job, however long it takes to learn whether it exists.

        If this process dies after the POST and before anything is written down, the next one computes the same name,
        meets 409, and takes the Job for its own.
        """
        doubts = 0
        for tries in range(1_000_000):
            task = self._stores.tasks.get(launch.task, launch.uid)
            if task is None or self.stopping or not self._board.still_wanted(launch):
                return self._board.not_launched(launch, None, self._clock.now())
            try:
                body = await self._manifests.of(self._board.merged(task))
            except Unlaunchable as error:
                return self._refuse(launch, *error.fault)
            except RequestError as error:  # nothing was asked for yet, so there is nothing to find out
                logger.warning("manifest of Task %s not read yet: %s", launch.task, error)
                await self._pause(tries)
                continue
            if not self._may_post(launch):  # reading the manifest took its time
                return self._board.not_launched(launch, None, self._clock.now())
            try:
                reply = await self._post(launch, body)
            except NotSent:
                await self._pause(tries)
                continue
            except Unanswered as error:
                doubts += 1
                job = await self._doubt(launch, str(error), doubts)
            else:
                if reply.ok:
                    return self._launched(launch, task, decode_job(reply.body), fresh=True)
                job, decided = await self._answered(launch, reply, tries)
                if decided:
                    return None
            if job:
                return self._launched(launch, task, job, fresh=False)
        return None

    async def _post(self, launch: Launch, body: bytes) -> Reply:
        """Ask for the Job; raises Unanswered also for an answer that leaves open what becomes of the request."""
        self._observer.posting(launch)
        reply = await self._api.request(
            "POST",
            f"{JOBS}/namespaces/{launch.job.namespace}/jobs",
            body=body,
            timeout=self._create_timeout + LATE_MARGIN_SECONDS,
            server_timeout=self._create_timeout,
        )
        if reply.status >= 500 and not _is_too_large(error := reply.error()):
            raise Unanswered(error.message or error.body or f"it answered with the status {error.status}")
        return reply

    def _may_post(self, launch: Launch) -> bool:
        if not self._may_write():
            self._observer.late_post()
            return False
        return self._board.still_wanted(launch)

    async def _answered(self, launch: Launch, reply: Reply, tries: int) -> tuple[Job | None, bool]:
        """What a refusal means: the Job if it is there already, and whether the launch is over."""
        error = reply.error()
        if error.is_already_exists:
            job = await self._look_up(launch.job)
            if job and job.metadata.controller_uid != launch.uid:
                self._refuse(launch, Reason.JOB_NAME_TAKEN, message(Reason.JOB_NAME_TAKEN, job=launch.job.name))
                return None, True
            return job, False
        if error.is_conflict or error.status in (401, 429):
            await self._pause(tries, error)
            return None, False
        self._refuse(launch, *_refusal(error, _field(self._stores.tasks.get(launch.task, launch.uid))))
        return None, True

    async def _doubt(self, launch: Launch, why: str, doubts: int) -> Job | None:
        """The Job, if a request that was lost has made it; else tell the Task's user, and let time pass.

        That it is not there is no proof that it never will be (a store that stalled may go on), so the Task keeps its
        place until the same request has been answered, and is not told as one that was refused.
        """
        job = await self._find_out(launch)
        if job or doubts < _DOUBTS:
            return job
        text = message(Reason.JOB_NOT_CREATED, limit=self._create_timeout, message=why)
        logger.warning("Job %s of Task %s not created: %s", launch.job.name, launch.task, text)
        self._observer.refused(launch.queue, Reason.JOB_NOT_CREATED)
        until = self._board.doubted(launch, (Reason.JOB_NOT_CREATED, text), self._clock.now())
        while not self.stopping and self._board.still_wanted(launch) and self._board.is_doubted(launch):
            rest = until - self._clock.now()
            if rest <= 0:
                break
            await asyncio.sleep(min(rest, _LOOK_UP_SECONDS))
        return None

    async def _find_out(self, launch: Launch) -> Job | None:
        """Wait until a lost request has either shown its effect or can't have one any more.

        Asking again sooner could leave two requests under way, and the second might be applied after somebody deleted
        what the first one made.
        """
        certain_at = self._clock.uptime() + self._create_timeout + LATE_MARGIN_SECONDS
        tries = 0
        while True:
            late = self._clock.uptime() >= certain_at
            try:
                job = await self._read_job(launch.job)
                if job or late:
                    return job if job and job.metadata.controller_uid == launch.uid else None
            except RequestError as error:
                logger.warning("no answer about Job %s yet: %s", launch.job, error)
            await self._pause(tries)
            tries += 1

    async def _look_up(self, key: Key) -> Job | None:
        """Read a Job that was there a moment ago, however long it takes: its slot is held until it is known."""
        for tries in count():
            try:
                return await self._read_job(key)
            except RequestError as error:
                logger.warning("no answer about Job %s yet: %s", key, error)
                await self._pause(tries)
        raise AssertionError("counting has no end")

    async def _read_job(self, key: Key) -> Job | None:
        reply = await self._api.request(
            "GET", f"{JOBS}/namespaces/{key.namespace}/jobs/{key.name}", timeout=self._timeout
        )
        return None if reply.status == 404 else decode_job(reply.checked().body)

    def _launched(self, launch: Launch, task: Task, job: Job, *, fresh: bool) -> None:
        self._stores.jobs.apply(job)
        self._board.launched(launch)
        if fresh:
            self._observer.launched(task, job, launch)

    def _refuse(self, launch: Launch, reason: str, text: str) -> None:
        logger.warning("Job %s of Task %s refused: %s", launch.job.name, launch.task, text or reason)
        self._observer.refused(launch.queue, reason)
        self._board.not_launched(launch, (reason, text) if text else None, self._clock.now())

    async def _pause(self, tries: int, error: ApiError | None = None) -> None:
        asked = error.retry_after if error and error.retry_after else 0.0
        await asyncio.sleep(max(asked, _PAUSES[min(tries, len(_PAUSES) - 1)]))

    # --- writing ---------------------------------------------------------------------------------------------------

    async def _write_status(self, write: WriteStatus) -> None:
        """Patch, provided that the Task is still the version that was decided on; else learn what it is now."""
        body = {"metadata": {"uid": write.uid, "resourceVersion": write.version}, "status": write.status}
        path = f"{TASKS}/namespaces/{write.task.namespace}/tasks/{write.task.name}"
        failed = True
        if self._may_write():
            try:
                reply = await self._api.request(
                    "PATCH",
                    f"{path}/status",
                    body=_encode(body),
                    content_type=MERGE_PATCH,
                    timeout=self._timeout,
                )
                failed = not await self._took(write, reply)
            except Unanswered:
                failed = not await self._landed(write)
            except RequestError as error:
                logger.warning("status of Task %s not written: %s", write.task, error)
        self._board.written(write, self._clock.now(), failed=failed)

    async def _took(self, write: WriteStatus, reply: Reply) -> bool:
        """Whether a decision can be made again now: the write stands, or a newer version is known."""
        if reply.ok:
            self._stand(write, self._decode_task(reply.body))
            return True
        error = reply.error()
        if error.status >= 500:
            return await self._landed(write)
        if error.is_conflict:
            self._observer.conflicted()
        elif not error.is_not_found:
            logger.warning("status of Task %s refused: %s", write.task, error)
        await self._fetch_task(write.task)
        return error.is_conflict or error.is_not_found

    async def _landed(self, write: WriteStatus) -> bool:
        """Whether a write without an answer stands: read the Task to see."""
        try:
            task = await self._fetch_task(write.task)
        except RequestError:
            return False
        if task is None or task.metadata.uid != write.uid:
            return True
        if task.metadata.resource_version == write.version:
            return False  # nothing came of it, and nothing else has changed: the same again can wait a little
        if not status.differs(task, write.status):
            self._stand(write, task)
        return True

    def _stand(self, write: WriteStatus, task: Task) -> None:
        self._stores.tasks.apply(task)
        if task.is_terminal:  # the watch may have told that it left, and then its store takes nothing more of it
            self._board.ended(task)
        self._observer.written(task, write)

    async def _fetch_task(self, key: Key) -> Task | None:
        reply = await self._api.request(
            "GET", f"{TASKS}/namespaces/{key.namespace}/tasks/{key.name}", timeout=self._timeout
        )
        if reply.status == 404:
            known = self._stores.tasks.get(key)
            if known:
                meta = known.metadata
                self._stores.tasks.remove(meta.namespace, meta.name, meta.uid, meta.version)
            return None
        task = self._decode_task(reply.checked().body)
        self._stores.tasks.apply(task)
        return task

    # --- Jobs and pods ---------------------------------------------------------------------------------------------

    async def _ask(self, action: StopJob | KillPods | FetchPods | FetchJob | FetchTask) -> None:
        failed = False
        try:
            if isinstance(action, StopJob):
                await self._stop_job(action)
            elif isinstance(action, KillPods):
                await self._delete_pods(action.pods)
            elif isinstance(action, FetchPods):
                await self._fetch_pods(action)
            elif isinstance(action, FetchJob):
                await self._fetch_job(action)
            else:
                await self._look_for(action)
        except RequestError as error:
            logger.warning("%s failed, and is tried again: %s", type(action).__name__, error)
            failed = True
        self._board.asked(action, self._clock.now(), failed=failed)

    async def _stop_job(self, stop: StopJob) -> None:
        """Suspend: the Job controller then deletes the pods that are left, with their grace period."""
        await self._delete_pods(stop.kill)
        if not self._may_write():
            raise NotSent("not the leader any more")
        metadata: dict[str, Any] = {"uid": stop.job_uid, "annotations": {STOP_REASON_ANNOTATION: stop.reason}}
        reply = await self._api.request(
            "PATCH",
            f"{JOBS}/namespaces/{stop.job.namespace}/jobs/{stop.job.name}",
            body=_encode({"metadata": metadata, "spec": {"suspend": True}}),
            content_type=MERGE_PATCH,
            timeout=self._timeout,
        )
        if reply.status == 404:
            await self._lose_job(stop.job)
        elif reply.ok:
            self._stores.jobs.apply(decode_job(reply.body))
        else:
            raise reply.error()

    async def _delete_pods(self, pods: tuple[tuple[Key, str], ...]) -> None:
        for key, uid in pods:
            if not self._may_write():
                raise NotSent("not the leader any more")
            reply = await self._api.request(
                "DELETE",
                f"{PODS}/namespaces/{key.namespace}/pods/{key.name}",
                body=_encode({"gracePeriodSeconds": 1, "preconditions": {"uid": uid}}),
                timeout=self._timeout,
            )
            if reply.status not in (404, 409):
                reply.checked()

    async def _fetch_pods(self, fetch: FetchPods) -> None:
        namespace = fetch.job.namespace
        reply = await self._api.request(
            "GET",
            f"{PODS}/namespaces/{namespace}/pods",
            query={"labelSelector": f"batch.kubernetes.io/job-name={fetch.job.name}"} | _POD_FIELDS[fetch.which],
            timeout=self._timeout,
        )
        found = _decode_pods(reply.checked().body)
        pods = [decode_pod(bytes(raw)) for raw in found.items]
        for pod in pods:
            self._stores.pods.apply(pod)
        if fetch.which == "failed":
            return
        listed = {pod.metadata.uid for pod in pods}
        version = int(found.metadata.resource_version)
        looked_for = [pod for pod in self._board.pods_of(fetch.job) if pod.alive or fetch.which == "all"]
        for meta in [pod.metadata for pod in looked_for]:
            if meta.uid not in listed:
                self._stores.pods.remove(meta.namespace, meta.name, meta.uid, version)

    async def _fetch_job(self, fetch: FetchJob) -> None:
        job = await self._read_job(fetch.job)
        if job:
            self._stores.jobs.apply(job)
        else:
            self._board.job_missing(fetch)

    async def _look_for(self, fetch: FetchTask) -> None:
        """Read a Task that may have ended: then it is told to the board alone, since the watch would not remove it."""
        path = f"{TASKS}/namespaces/{fetch.task.namespace}/tasks/{fetch.task.name}"
        reply = await self._api.request("GET", path, timeout=self._timeout)
        task = None if reply.status == 404 else self._decode_task(reply.checked().body)
        if task and task.status.settled != "True":
            self._stores.tasks.apply(task)
        else:
            self._board.task_found(fetch, task)

    async def _lose_job(self, key: Key) -> None:
        known = self._stores.jobs.get(key)
        if known:
            meta = known.metadata
            self._stores.jobs.remove(meta.namespace, meta.name, meta.uid, meta.version)


def _refusal(error: ApiError, field: str) -> tuple[str, str]:
    """Reason and message for a Job that the API server does not want; ``field`` is where the user wrote it."""
    words = error.message or error.body
    if _is_too_large(error):
        return Reason.JOB_REFUSED, message(Reason.JOB_REFUSED, field=field, message=_TOO_LARGE)
    if error.is_forbidden and "exceeded quota" in words:
        return Reason.QUOTA_EXCEEDED, message(Reason.QUOTA_EXCEEDED, message=words)
    if error.is_forbidden:
        return Reason.FORBIDDEN, message(Reason.FORBIDDEN, message=words)
    return Reason.JOB_REFUSED, message(Reason.JOB_REFUSED, field=field, message=words.split(" is invalid: ", 1)[-1])


def _is_too_large(error: ApiError) -> bool:
    """Whether the Job can't be stored for its size: etcd, its client and the API server each say so in other words.

    An API server that meets etcd's limit tries once more without managedFields, and then refuses the selector that it
    has itself given the Job: since a Task can't give one, this means the same.
    """
    return any(hint in error.message for hint in ("too large", "larger than max", "`selector` not auto-generated"))


def _field(task: Task | None) -> str:
    if task and task.spec.template_ref:
        return f"spec.jobTemplate of TaskTemplate {task.spec.template_ref.name} (spec.templateRef.name)"
    return "spec.jobTemplate"
