"""The API server of a simulated cluster, for the kinds of objects that we use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from .controllers import disrupt
from .documents import faults_of
from .rights import Rights
from .store import Obj, Store, stamp

__all__ = ["Api", "RefusalError"]

_GROUPS: Final = {"", "batch", "authorization.k8s.io"}
_VERSION: Final = "/version"
_KUEUE: Final = "kueue.x-k8s.io"
_KINDS: Final = {
    "configmaps": "ConfigMap",
    "events": "Event",
    "jobs": "Job",
    "namespaces": "Namespace",
    "nodes": "Node",
    "pods": "Pod",
    "resourcequotas": "ResourceQuota",
    "secrets": "Secret",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "workloads": "Workload",
}
_REASONS: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired",
    422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable",
}  # fmt: skip
_SINCE: Final = {
    "ttlSecondsAfterFinished": 21,
    "suspend": 22,
    "podFailurePolicy": 26,
    "podReplacementPolicy": 29,
    "backoffLimitPerIndex": 29,
}
_EVICTION: Final = 22
_BOOKMARKS: Final = 0.5


class RefusalError(Exception):
    """An answer no."""

    def __init__(self, code: int, message: str, *, reason: str = "", causes: list[Obj] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "code": code,
            "reason": reason or _REASONS[code],
            "message": message,
            "details": {"causes": causes or []},
        }


@dataclass(frozen=True, slots=True)
class _Target:
    """What a request is about."""

    group: str
    plural: str
    namespace: str
    name: str
    sub: str


class Api:
    """Answers requests from the store."""

    def __init__(self, store: Store, rights: Rights, tokens: set[str], admin: str) -> None:
        self.store = store
        self.rights = rights
        self.tokens = tokens
        self._admin = admin
        self.faults: list[tuple[int, str, int]] = []
        """Answers to come: a status, for requests whose verb and plural have this in them, so many times."""
        self.asked: list[str] = []
        """`verb plural` of all requests."""
        self.refuses: Callable[[str, Obj], str] = lambda _plural, _item: ""
        """What a rule of the site says against an object, if anything."""
        self.has_kueue = False
        self.lost_pages = 0
        """How many next pages of lists will have been forgotten when they are asked for."""
        self._pages: dict[str, tuple[str, list[Obj]]] = {}
        self._connected: set[web.StreamResponse] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        try:
            target = _target(request.path, _GROUPS | ({_KUEUE} if self.has_kueue else set()))
            verb = _verb(request, target)
            self._admit(request, verb, target)
            if verb == "watch":
                return await self._watch(request, target)
            code, answer = await self._answer(request, verb, target)
        except RefusalError as error:
            after = {"Retry-After": "1"} if error.code in {429, 503} else {}
            return web.json_response(error.status, status=error.code, headers=after)
        return web.json_response(answer, status=code)

    def cut(self) -> None:
        """Break all watches, as a network does."""
        for response in self._connected:
            if response._req is not None and response._req.transport is not None:
                response._req.transport.abort()

    def _admit(self, request: web.Request, verb: str, target: _Target) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token == self._admin:
            return
        if token not in self.tokens:
            raise RefusalError(401, "Unauthorized")
        self.asked.append(f"{verb} {target.plural}")
        for place, (code, words, times) in enumerate(self.faults):
            if words in f"{verb} {target.plural}" and times > 0:
                self.faults[place] = (code, words, times - 1)
                raise RefusalError(code, "said on demand")
        if not self.rights.use(verb, target.group, target.plural, target.namespace):
            raise RefusalError(403, _forbidden(verb, target))

    async def _answer(self, request: web.Request, verb: str, target: _Target) -> tuple[int, Obj]:
        if verb == "list":
            return 200, self._list(request, target)
        if target.plural == _VERSION:
            return 200, {"major": "1", "minor": str(self.store.minor), "gitVersion": f"v1.{self.store.minor}.0"}
        body: Obj = json.loads(await request.text() or "{}")
        if target.sub == "eviction":
            if body["apiVersion"] != f"policy/{'v1' if self.store.minor >= _EVICTION else 'v1beta1'}":
                raise RefusalError(400, f'no kind "Eviction" is registered for version "{body["apiVersion"]}"')
            disrupt(self.store, self._found(target), "EvictionByEvictionAPI", "Eviction API: evicting")
            return 201, {"kind": "Status", "status": "Success"}
        if verb == "create":
            return 201, self._create(target, body)
        if verb == "patch":
            return self._patch(request, target, body)
        found = self._found(target)
        if verb == "delete":
            self._delete(target, found, body)
        return 200, found

    def _found(self, target: _Target) -> Obj:
        found = self.store.get(target.plural, target.namespace, target.name)
        if found is None:
            raise RefusalError(404, f'{target.plural} "{target.name}" not found')
        return found

    def _list(self, request: web.Request, target: _Target) -> Obj:
        token = request.query.get("continue", "")
        if token:
            if self.lost_pages or token not in self._pages:
                self.lost_pages = max(0, self.lost_pages - 1)
                raise RefusalError(410, "The provided continue parameter is too old")
            version, items = self._pages.pop(token)
        else:
            version = str(self.store.version)
            items = [item for item in self.store.of(target.plural, target.namespace) if _matches(request, item)]
        limit = int(request.query.get("limit", "0")) or len(items)
        meta: Obj = {"resourceVersion": version}
        if len(items) > limit:
            meta["continue"] = f"{target.plural}-{len(self._pages)}-{len(items)}"
            self._pages[meta["continue"]] = (version, deepcopy(items[limit:]))
        kind = f"{_KINDS.get(target.plural, 'Object')}List"
        return {"kind": kind, "apiVersion": "v1", "metadata": meta, "items": items[:limit]}

    def _create(self, target: _Target, item: Obj) -> Obj:
        if target.plural == "selfsubjectaccessreviews":
            wanted = item["spec"]["resourceAttributes"]
            allowed = self.rights.may(wanted["verb"], wanted["group"], wanted["resource"], wanted["namespace"])
            return {**item, "status": {"allowed": allowed}}
        name = item["metadata"]["name"]
        if target.namespace and self.store.get("namespaces", "", target.namespace) is None:
            raise RefusalError(404, f'namespaces "{target.namespace}" not found')
        if self.store.get(target.plural, target.namespace, name):
            raise RefusalError(409, f'{target.plural} "{name}" already exists', reason="AlreadyExists")
        wrong = faults_of(item)
        if wrong:
            raise RefusalError(422, f'{item["kind"]} "{name}" is invalid: {wrong[0]["message"]}', causes=wrong)
        self._count(target)
        told = self.refuses(target.plural, item)
        if told:
            raise RefusalError(403, f'admission webhook "rules.example.org" denied the request: {told}')
        if target.plural == "jobs":
            # What it does not know is dropped, and nobody is told.
            item["spec"] = {key: value for key, value in item["spec"].items() if self.store.minor >= _SINCE.get(key, 0)}
        return self.store.add(target.plural, item)

    def _count(self, target: _Target) -> None:
        """Refuse what would be more objects than a quota allows."""
        word = f"count/{target.plural}" + (f".{target.group}" if target.group else "")
        for quota in self.store.of("resourcequotas", target.namespace):
            most = quota["spec"]["hard"].get(word)
            used = len(self.store.of(target.plural, target.namespace))
            if most is None:
                continue
            quota["status"] = {"hard": {word: most}, "used": {word: str(used)}}
            if used >= int(most):
                raise RefusalError(403, f"exceeded quota: {quota['metadata']['name']}, requested: {word}=1")

    def _patch(self, request: web.Request, target: _Target, body: Obj) -> tuple[int, Obj]:
        if request.headers["Content-Type"] != "application/apply-patch+yaml":
            found = self._found(target)
            _merge(found, body)
            self.store.touch(target.plural, found)
            return 200, found
        manager = request.query.get("fieldManager")
        if not manager:
            raise RefusalError(400, "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
        found_ = self.store.get(target.plural, target.namespace, target.name)
        if found_ is None:
            if not self.rights.use("create", target.group, target.plural, target.namespace):
                raise RefusalError(403, _forbidden("create", target))
            made = self._create(target, body)
            made["metadata"]["managedFields"] = [{"manager": manager, "operation": "Apply", "time": stamp()}]
            return 201, made
        if found_.get("immutable") and body.get("binaryData") != found_.get("binaryData"):
            raise RefusalError(422, "data: Forbidden: field is immutable when `immutable` is set")
        _merge(found_, body)
        self.store.touch(target.plural, found_)
        return 200, found_

    def _delete(self, target: _Target, found: Obj, options: Obj) -> None:
        meta = found["metadata"]
        if (uid := options.get("preconditions", {}).get("uid")) and uid != meta["uid"]:
            raise RefusalError(409, f"the UID in the precondition ({uid}) does not match")
        if target.plural == "pods":
            grace = options.get("gracePeriodSeconds", found["spec"].get("terminationGracePeriodSeconds", 30))
            # The node lets it go when its processes have ended.
            meta.setdefault("finalizers", []).append("sim/node")
            self.store.delete("pods", found, grace)
            return
        finalizers = [item for item in meta.get("finalizers", []) if item != "foregroundDeletion"]
        if options.get("propagationPolicy") == "Foreground":
            finalizers.append("foregroundDeletion")
        meta["finalizers"] = finalizers
        self.store.delete(target.plural, found)

    async def _watch(self, request: web.Request, target: _Target) -> web.StreamResponse:
        version = int(request.query["resourceVersion"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue = self.store.listen()
        try:
            await response.prepare(request)
            self._connected.add(response)
            if version < self.store.forgotten:
                await _send(response, "ERROR", RefusalError(410, f"too old resource version: {version}").status)
                return response
            for happened in self.store.since(version):
                queue.put_nowait(happened)
            await asyncio.wait_for(
                self._tell(request, response, target, queue, version), int(request.query.get("timeoutSeconds", "300"))
            )
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._connected.discard(response)
            self.store.leave(queue)
        return response

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        target: _Target,
        queue: asyncio.Queue[Any],
        version: int,
    ) -> None:
        while True:
            try:
                number, kind, plural, item = await asyncio.wait_for(queue.get(), _BOOKMARKS)
            except TimeoutError:
                meta = {"resourceVersion": str(max(version, self.store.version)), "creationTimestamp": None}
                await _send(response, "BOOKMARK", {"kind": _KINDS[target.plural], "metadata": meta})
                continue
            inside = target.namespace in {"", item["metadata"].get("namespace", "")}
            if plural == target.plural and number > version and inside and _matches(request, item):
                version = number
                await _send(response, kind, item)


async def _send(response: web.StreamResponse, kind: str, item: Obj) -> None:
    await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")


def _forbidden(verb: str, target: _Target) -> str:
    what = f'cannot {verb} resource "{target.plural}" in API group "{target.group}"'
    return f'User "shunter" {what} in the namespace "{target.namespace}"'


def _target(path: str, groups: set[str]) -> _Target:
    if path == _VERSION:
        return _Target("", _VERSION, "", _VERSION, "")
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    rest += [""] * (3 - len(rest))
    if rest[0] not in _KINDS or group not in groups:
        raise RefusalError(404, "the server could not find the requested resource")
    return _Target(group, rest[0], namespace, rest[1], rest[2])


def _verb(request: web.Request, target: _Target) -> str:
    if request.method == "GET":
        return "get" if target.name else "watch" if request.query.get("watch") == "true" else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[request.method]


def _matches(request: web.Request, item: Obj) -> bool:
    labels = item["metadata"].get("labels", {})
    for term in filter(None, request.query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, request.query.get("fieldSelector", "").split(",")):
        path, is_not, value = term.partition("!=")
        if not is_not:
            path, _, value = term.partition("=")
        found: Any = item
        for part in path.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        if (found == value) == bool(is_not):
            return False
    return True


def _merge(old: Obj, new: Obj) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _merge(old[key], value)
        else:
            old[key] = value
