"""What a `call` step may call, and what `retry` may name.

Source: Google Workflows, "Standard library overview"; "Retry steps"; the pages
of `http.default_retry`, `http.default_retry_predicate` and
`retry.default_backoff`
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from local_cloud.workflows.errors import SourceError, Value
from local_cloud.workflows.expressions import Literal
from local_cloud.workflows.program import Retry

_HTTP = frozenset({"url", "auth", "body", "headers", "query", "timeout"})


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a function by name, and those it cannot do without."""

    known: frozenset[str]
    needed: frozenset[str] = field(default_factory=frozenset)

    def check(self, arguments: Mapping[str, object], where: str) -> None:
        """Refuse arguments that the function does not have, or lacks."""
        strangers = sorted(set(arguments) - self.known)
        if strangers:
            raise SourceError(f"{where} has no argument {strangers[0]!r}")
        missing = sorted(self.needed - set(arguments))
        if missing:
            raise SourceError(f"{where} needs the argument {missing[0]!r}")
        if "auth" in arguments:
            _check_auth(arguments["auth"], where)


def _check_auth(auth: object, where: str) -> None:
    kind = auth.get("type") if isinstance(auth, dict) else auth
    if kind != "OIDC" or not isinstance(auth, dict) or set(auth) - {"type", "audience"}:
        sentence = f"this interpreter knows auth of type OIDC only, {auth!r} came"
        raise SourceError(f"{where}: {sentence}")


_URL = frozenset({"url"})
SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "http.delete": Signature(_HTTP, _URL),
        "http.get": Signature(_HTTP - {"body"}, _URL),
        "http.patch": Signature(_HTTP, _URL),
        "http.post": Signature(_HTTP, _URL),
        "http.put": Signature(_HTTP, _URL),
        "sys.log": Signature(
            frozenset({"text", "json", "data", "severity"}), frozenset()
        ),
        "sys.sleep": Signature(frozenset({"seconds"}), frozenset({"seconds"})),
    }
)

_RETRIED = frozenset({429, 502, 503, 504})
_RETRIED_NON_IDEMPOTENT = frozenset({429, 503})
_LOST = frozenset({"ConnectionError", "ConnectionFailedError", "TimeoutError"})


def _is_retried(error: Value) -> bool:
    return _code(error) in _RETRIED or bool(_tags(error) & _LOST)


def _is_retried_non_idempotent(error: Value) -> bool:
    was_not_sent = "ConnectionFailedError" in _tags(error)
    return _code(error) in _RETRIED_NON_IDEMPOTENT or was_not_sent


def _code(error: Value) -> Value:
    return error.get("code") if isinstance(error, dict) else None


def _tags(error: Value) -> set[str]:
    tags = error.get("tags") if isinstance(error, dict) else None
    return {str(tag) for tag in tags} if isinstance(tags, list) else set()


PREDICATES = MappingProxyType(
    {
        "http.default_retry_predicate": _is_retried,
        "http.default_retry_predicate_non_idempotent": _is_retried_non_idempotent,
    }
)


def _default_policy(predicate: str) -> Retry:
    five, second, minute = Literal(5), Literal(1), Literal(60)
    return Retry(predicate, five, second, minute, multiplier=Literal(1.25))


RETRY_POLICIES: Mapping[str, Retry] = MappingProxyType(
    {
        "http.default_retry": _default_policy("http.default_retry_predicate"),
        "http.default_retry_non_idempotent": _default_policy(
            "http.default_retry_predicate_non_idempotent"
        ),
    }
)
