"""Tries every TaskTemplate with a dry run, so that its author learns of a mistake before its users do."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from taskq.clock import Clock
from taskq.cluster.effects import JOBS
from taskq.cluster.session import Api
from taskq.cluster.statuses import write_status
from taskq.cluster.store import Store
from taskq.cluster.waker import Waker
from taskq.domain.admission import Fault
from taskq.domain.decoding import decode_template
from taskq.domain.model import Template
from taskq.domain.reasons import Reason, message
from taskq.domain.registry import check
from taskq.domain.template import template_patch, trial_manifest
from taskq.errors import RequestError

logger = logging.getLogger(__name__)

ROUND_SECONDS = 30.0
"""A try that failed for other reasons than the template is made again after so long."""


class Templates:
    """The only writer of TaskTemplates' statuses."""

    def __init__(self, api: Api, templates: Store[Template], clock: Clock, *, may_write: Callable[[], bool]) -> None:
        """Nothing is tried before :meth:`run`."""
        self._api = api
        self._templates = templates
        self._clock = clock
        self._may_write = may_write
        self._waker = Waker()

    def wake(self) -> None:
        """A TaskTemplate changed."""
        self._waker.wake()

    async def run(self) -> None:
        """Try what is new until cancelled; one that fails does not stop the others."""
        while True:
            for template in list(self._templates):
                if template.status.observed_generation != template.metadata.generation and self._may_write():
                    try:
                        await self._try(template)
                    except RequestError as error:
                        logger.warning("TaskTemplate %s is tried again: %s", template.metadata.key, error)
                    except Exception:  # one that nobody foresaw must not stop the others
                        logger.exception("TaskTemplate %s is passed over", template.metadata.key)
            await self._waker.rest(ROUND_SECONDS)

    async def _try(self, template: Template) -> None:
        _, wrong = check(template)
        fault = (Reason.INVALID_TEMPLATE, "; ".join(wrong)) if wrong else await self._refusal(template)
        patch = template_patch(template, fault, self._clock.now())
        await write_status(self._api, self._templates, decode_template, "tasktemplates", template, patch)

    async def _refusal(self, template: Template) -> Fault | None:
        """What the API server has against the Job of a Task of this template."""
        words: object = ""
        try:
            body = trial_manifest(template)
        except msgspec.MsgspecError as error:
            words = error
        else:
            path = f"{JOBS}/namespaces/{template.metadata.namespace}/jobs"
            reply = await self._api.request("POST", path, query={"dryRun": "All"}, body=body)
            if reply.status in (400, 422):
                words = reply.error().message.split(" is invalid: ", 1)[-1]
            elif reply.status not in (403, 409):  # no quota left, or its name taken: says nothing about the template
                reply.checked()
        text = message(Reason.JOB_REFUSED, field="spec.jobTemplate", message=words)
        return (Reason.JOB_REFUSED, text) if words else None
