"""Whether another service answers, said once when it changes and not at every call."""

import structlog

from services.chassis import status
from services.promotions import errors

log = structlog.get_logger()


class Presence:
    """What was last seen of a service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._is_away = False
        self._missing_scopes: set[str] = set()

    def unanswered(self, answer: status.Answer) -> errors.DependencyUnavailable:
        """Note what came instead of an answer, and return what callers are told."""
        if scope := status.missing_scope(answer):
            self._deny(scope)
            return errors.DependencyUnavailable(service=self._service, missing_scope=scope)
        self.lost(code=answer.category.name, why=answer.message)
        return errors.DependencyUnavailable(service=self._service)

    def _deny(self, scope: str) -> None:
        """Note an answer that our own client may not ask this; each scope is said once."""
        self.found()
        if scope not in self._missing_scopes:
            self._missing_scopes.add(scope)
            log.error("our client lacks a scope", service=self._service, scope=scope)

    def lost(self, *, code: str, why: str) -> None:
        """Note a call without answer."""
        if not self._is_away:
            self._is_away = True
            log.warning("no answer", service=self._service, code=code, why=why)

    def found(self) -> None:
        """Note a call with an answer."""
        if self._is_away:
            self._is_away = False
            log.info("answers again", service=self._service)
