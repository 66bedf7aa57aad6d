"""Who is answered what by each route: the table behind the rights matrix. A route without a row fails the test."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OPEN", "ROWS", "Row"]

OPEN = frozenset({"healthz", "readyz", "metrics", "login", "getLoginMethods", "getTokenKeys", "showOptOut", "optOut"})
"""Routes that ask nobody who they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one route answers to whom."""

    own: int
    """To whoever the thing belongs to, or who may do this."""
    foreign: int
    """To a stranger."""
    shared: int = 0
    """To whom the job or folder is shared for reading; 0 where that is a stranger like others."""
    by: str = "owner"
    """Who may do it."""
    body: object = None
    query: str = ""
    token: int = 0
    """To a token that is not narrowed to reading and not to one thing; 0 where that is as its owner."""

    def to_guest(self) -> int:
        """Return what a guest is answered."""
        return self.shared or self.foreign


_NO_SUCH = 404
_JOB = {"argv": ["true"], "hold": True}
_SCHEDULE = {"name": "matrix", "job": {"argv": ["true"]}, "every": "24h"}

_SUBSCRIPTION = {"name": "matrix", "url": "http://127.0.0.1:9/matrix"}

ROWS: dict[str, Row] = {
    # jobs: a stranger's do not exist, a guest reads and steers nothing
    "submitJob": Row(201, 201, body=_JOB),
    "listJobs": Row(200, 200),
    "getJob": Row(200, _NO_SUCH, 200),
    "getJobHistory": Row(200, _NO_SUCH, 200),
    "explainJob": Row(200, _NO_SUCH, 200),
    "holdJob": Row(200, _NO_SUCH, 403),
    "releaseJob": Row(202, _NO_SUCH, 403),
    "startJob": Row(202, _NO_SUCH, 403),
    "cancelJob": Row(200, _NO_SUCH, 403),
    "retryJob": Row(409, _NO_SUCH, 403),
    "removeJob": Row(204, _NO_SUCH, 403),
    "listTasks": Row(200, _NO_SUCH, 200),
    "getTask": Row(200, _NO_SUCH, 200),
    "getTaskLogs": Row(200, _NO_SUCH, 200),
    "listTaskLogs": Row(200, _NO_SUCH, 200),
    "getJobLogs": Row(200, _NO_SUCH, 200),
    "listJobFiles": Row(200, _NO_SUCH, 200),
    "getJobFile": Row(404, _NO_SUCH, 404),
    "listJobGrants": Row(200, _NO_SUCH, 200),
    "getJobGrant": Row(200, _NO_SUCH, 200),
    "shareJob": Row(200, _NO_SUCH, 403, body={"right": "read"}, token=403),
    "unshareJob": Row(204, _NO_SUCH, 403),
    # many jobs
    "createBatch": Row(201, 201, body={"jobs": [{"key": "a", **_JOB}]}),
    "listBatches": Row(200, 200),
    "getBatch": Row(200, _NO_SUCH),
    "cancelBatch": Row(202, _NO_SUCH),
    "createSchedule": Row(201, 201, body=_SCHEDULE),
    "listSchedules": Row(200, 200),
    "getSchedule": Row(200, _NO_SUCH),
    "replaceSchedule": Row(200, _NO_SUCH, body=_SCHEDULE),
    "deleteSchedule": Row(204, _NO_SUCH),
    "pauseSchedule": Row(200, _NO_SUCH),
    "resumeSchedule": Row(200, _NO_SUCH),
    "triggerSchedule": Row(201, _NO_SUCH),
    # files: a path is one's own unless an owner is named
    "listFiles": Row(200, _NO_SUCH, 200, query="owner={owner}&prefix={folder}/"),
    "getFile": Row(200, _NO_SUCH, 200, query="owner={owner}"),
    "headFile": Row(200, _NO_SUCH, 200, query="owner={owner}"),
    "putFile": Row(201, _NO_SUCH, 403, query="owner={owner}", body=b"more"),
    "deleteFile": Row(204, _NO_SUCH),
    "getFolder": Row(200, _NO_SUCH, 200, query="owner={owner}"),
    "makeFolder": Row(201, 201),
    "moveFile": Row(200, _NO_SUCH, body={"path": "{path}", "to": "{folder}/moved"}),
    "listFolderRules": Row(200, _NO_SUCH, query="owner={owner}"),
    "setFolderRule": Row(200, _NO_SUCH, query="owner={owner}&folder={folder}", body={"quota": "1GB"}),
    "dropFolderRule": Row(204, _NO_SUCH, query="owner={owner}&folder={folder}"),
    "getStorageUsage": Row(200, _NO_SUCH, query="owner={owner}"),
    "listStorageOwners": Row(200, 403, by="admin"),
    "listVersions": Row(200, _NO_SUCH, query="owner={owner}"),
    "purgeVersion": Row(404, _NO_SUCH),
    "restoreFile": Row(404, _NO_SUCH, body={"path": "{path}"}),
    "emptyTrash": Row(200, 200, query="path={folder}"),
    "openUpload": Row(200, _NO_SUCH, 403, body={"path": "{path}", "size": 4, "owner": "{owner}"}),
    "resumeUpload": Row(403, 403, body={"ticket": "forged"}),
    "completeUpload": Row(403, 403, body={"ticket": "forged", "parts": [{"number": 1, "etag": "x"}]}),
    "zipFiles": Row(200, _NO_SUCH, 200, query="owner={owner}"),
    "zipFolder": Row(200, _NO_SUCH, 200, query="owner={owner}"),
    "openForm": Row(200, _NO_SUCH, 403, body={"folder": "{path}", "owner": "{owner}"}),
    "presignDownload": Row(200, _NO_SUCH, 200, body={"path": "{path}", "owner": "{owner}"}),
    "listFolderGrants": Row(200, _NO_SUCH, 200, query="owner={owner}&folder={folder}"),
    "getFolderGrant": Row(200, _NO_SUCH, 200, query="owner={owner}&folder={folder}"),
    "shareFolder": Row(200, _NO_SUCH, query="owner={owner}&folder={folder}", body={"right": "read"}, token=403),
    "unshareFolder": Row(204, _NO_SUCH, query="owner={owner}&folder={folder}"),
    "listShared": Row(200, 200),
    # what belongs to everybody, each seeing their own part
    "getUsage": Row(200, 200),
    "getEvents": Row(200, 200),
    "listBackends": Row(200, 200),
    "getBackend": Row(200, 200),
    "listApplications": Row(200, 200),
    "whoami": Row(200, 200),
    # webhooks
    # work for outside workers: who is none gets nothing, and no lease is known to whom it was not given
    "takeLeases": Row(403, 403, body={"backend": "pull", "worker": "box", "offer": {"memory": 1}}),
    "getLease": Row(_NO_SUCH, _NO_SUCH),
    "reportLease": Row(_NO_SUCH, _NO_SUCH, body={"steps": [{"step": "alive", "at": "2030-01-31T18:00:00Z"}]}),
    "presignLeaseInputs": Row(_NO_SUCH, _NO_SUCH, body={"targets": ["a"]}),
    "openLeaseUpload": Row(_NO_SUCH, _NO_SUCH, body={"path": "outputs/a", "size": 1, "sha256": "0" * 64}),
    "completeLeaseUpload": Row(_NO_SUCH, _NO_SUCH, body={"ticket": "forged"}),
    "printLeaseLogs": Row(_NO_SUCH, _NO_SUCH, body={"stream": "stdout", "offset": 0}),
    "createSubscription": Row(201, 201, body=_SUBSCRIPTION),
    "listSubscriptions": Row(200, 200),
    "getSubscription": Row(200, _NO_SUCH),
    "replaceSubscription": Row(200, _NO_SUCH, body=_SUBSCRIPTION),
    "deleteSubscription": Row(204, _NO_SUCH),
    "pauseSubscription": Row(200, _NO_SUCH),
    "resumeSubscription": Row(200, _NO_SUCH),
    "testSubscription": Row(202, _NO_SUCH),
    "listDeliveries": Row(200, 200),
    "getDelivery": Row(404, _NO_SUCH),
    "redeliver": Row(404, _NO_SUCH),
    # mail
    "getMail": Row(200, 200),
    "putMail": Row(200, 200, body={"opted_out": False}),
    # identity
    "listUsers": Row(200, 200),
    "getUser": Row(200, _NO_SUCH),
    "putUser": Row(200, _NO_SUCH, by="admin", body={"email": "somebody@example.org"}),
    "disableUser": Row(200, _NO_SUCH, by="admin"),
    "enableUser": Row(200, _NO_SUCH, by="admin"),
    "setPassword": Row(200, _NO_SUCH, body={"password": "a long enough password"}, token=403),
    "listProjects": Row(200, 200),
    "getProject": Row(200, _NO_SUCH, by="admin"),
    "putProject": Row(200, 403, by="admin", body={"title": "matrix"}),
    "deleteProject": Row(204, 403, by="admin"),
    "listMembers": Row(200, _NO_SUCH, by="admin"),
    "putMember": Row(200, _NO_SUCH, by="admin", body={"level": "member"}),
    "deleteMember": Row(204, _NO_SUCH, by="admin"),
    "mintToken": Row(201, 201, body={"name": "matrix"}, token=403),
    "listTokens": Row(200, 200),
    "inspectToken": Row(200, 200, body={"token": "{minted}"}),
    "revokeBlock": Row(200, 403, body={"token": "{minted}"}),
    "getToken": Row(200, _NO_SUCH),
    "revokeToken": Row(204, _NO_SUCH),
    "makeKey": Row(201, 201, body={"name": "matrix"}, token=403),
    "listKeys": Row(200, 200),
    "deleteKey": Row(204, _NO_SUCH),
    # for whoever steers the site
    "replayAudit": Row(200, 200),
    "drainBackend": Row(200, 403, by="admin", body={"message": "matrix"}),
    "resumeBackend": Row(200, 403, by="admin"),
    "getSiteHealth": Row(200, 403, by="admin"),
    "listParked": Row(200, 403, by="admin"),
    "dropAllParked": Row(200, 403, by="admin", query="all=true"),
    "getParked": Row(404, 403, by="admin"),
    "dropParked": Row(404, 403, by="admin"),
    "resendParked": Row(404, 403, by="admin"),
    "resendAllParked": Row(200, 403, by="admin", query="all=true"),
}
"""By the operation's identifier, as the OpenAPI document names it."""
