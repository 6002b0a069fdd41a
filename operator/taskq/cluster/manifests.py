"""Makes the manifest of an attempt's Job, from what is known and what has to be read again."""

from __future__ import annotations

from taskq.cluster.session import Api
from taskq.domain.board import Board
from taskq.domain.decoding import TaskDecoder
from taskq.domain.dependencies import outcome_of
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import Key, Task
from taskq.domain.parameters import results_in
from taskq.domain.reasons import RESULT_GONE, Reason, message
from taskq.domain.registry import Unlaunchable
from taskq.domain.retries import Source, follow
from taskq.errors import ApiError
from taskq.resources.common import API_VERSION, MAX_RETRY_CHAIN

_TASKS = f"/apis/{API_VERSION}"


class Manifests:
    """Reads at most one Task that was too large to be kept, and the ones that a retry goes back to."""

    def __init__(self, api: Api, board: Board, decode_task: TaskDecoder, *, timeout: float) -> None:
        """``timeout`` is in seconds, for one request."""
        self._api = api
        self._board = board
        self._decode_task = decode_task
        self._timeout = timeout

    async def of(self, task: Task) -> bytes:
        """The Job's JSON.

        Raises :class:`Unlaunchable` when what the Task refers to has gone, or refuses what the Task says;
        :class:`taskq.errors.RequestError` when the API server does not answer.
        """
        rules = self._board.queues.of(task.queue).rules
        source = Source(task, task.raw or await self._read_whole(task))
        for _ in range(MAX_RETRY_CHAIN):
            if source.task.spec.retry_of is None:
                break
            source = await self._follow(source)
        if source.task.spec.template_ref is None:
            return job_manifest(task, source.document, rules)
        results = await self._results(source)
        document, values = self._board.templates.manifest_of(source.task, source.document, results)
        return job_manifest(task, document, rules, values)

    async def _follow(self, source: Source) -> Source:
        """Read the Task that is run again: it has ended, so no watch shows it."""
        ref, meta = source.task.spec.retry_of, source.task.metadata
        name = ref.name if ref else ""
        document = await self._read(Key(meta.namespace, name))
        original = self._decode_task(document) if document else None
        if document is None or original is None or not original.is_terminal:
            raise Unlaunchable(Reason.RETRY_OF_NOT_FOUND, message(Reason.RETRY_OF_NOT_FOUND, original=name))
        if original.spec.batch != source.task.spec.batch:
            raise Unlaunchable(Reason.RETRY_OF_DIFFERS, message(Reason.RETRY_OF_DIFFERS, original=name))
        return follow(source, original, document)

    async def _results(self, source: Source) -> dict[str, str]:
        """The results that parameters hand on, by Task, as far as there are some; they are kept in no memory.

        A Task of the same name that is not the one that was waited for is not meant.
        """
        results: dict[str, str] = {}
        for name in sorted(results_in(source.document)):
            ended = outcome_of(source.task, name)
            document = await self._read(Key(source.task.metadata.namespace, name))
            found = self._decode_task(document) if document else None
            if ended is None or found is None or found.metadata.uid != ended.uid:
                raise Unlaunchable(Reason.INVALID_PARAMETERS, message(RESULT_GONE, task=name))
            if found.status.result:
                results[name] = found.status.result
        return results

    async def _read_whole(self, task: Task) -> bytes:
        """The JSON of a Task that is too large to be kept."""
        document = await self._read(task.metadata.key)
        if document is None or self._decode_task(document).metadata.uid != task.metadata.uid:
            raise ApiError(404, "NotFound", f"Task {task.metadata.key} is gone, or was made anew")
        return document

    async def _read(self, key: Key) -> bytes | None:
        path = f"{_TASKS}/namespaces/{key.namespace}/tasks/{key.name}"
        reply = await self._api.request("GET", path, timeout=self._timeout)
        return None if reply.status == 404 else reply.checked().body
