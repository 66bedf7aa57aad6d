"""Rules of folders as people say them, and what owners' files come to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from contracts.envelope import Context
from contracts.errors import ForbiddenError, NotFoundError, OverQuotaError
from contracts.file_commands import DropFolderRule, SetFolderRule
from contracts.file_events import FolderRuled, FolderUnruled
from contracts.file_queries import GetStorageUsage, ListFolderRules, ListOwners
from contracts.model import now
from contracts.principals import Principal
from contracts.shelves import FolderRule, FolderRulePage, OwnersPage, StorageUsage
from services.chassis.policy import owner_or_self, require_operator, sees_all
from services.chassis.unit import UnitOfWork

from .kept import amount_kept
from .listing import cursor_of, start_of
from .rights import require_on_folder
from .rules import Quotas, count_rules, drop_rule, find_rule, list_rules, put_rule
from .stored import Reason
from .usage import owners_page, under_way, usage_of

__all__ = ["RuleService"]

_MOST = 1000
"""Rules of one owner."""


class RuleService:
    """Keeps what is said of folders, and tells what all of it comes to; *kept* says how long versions are shown."""

    def __init__(self, *, unit: UnitOfWork, quotas: Quotas, kept: Mapping[Reason, timedelta]) -> None:
        self._unit = unit
        self._quotas = quotas
        self._kept = kept

    async def set(self, command: SetFolderRule, *, cause: str, context: Context) -> FolderRule:
        """Let a rule hold, in the place of an earlier one."""
        owner = _owner_of(command)
        rule = FolderRule(
            **command.rule.model_dump(),
            owner=owner,
            path=command.path,
            changed_at=now(),
            changed_by=command.principal.subject,
        )
        async with self._unit.handling(cause, context) as work:
            if work is None:
                return await self._as_it_is(owner, command)
            known = await find_rule(work.connection, owner, _place(command))
            if known is None and await count_rules(work.connection, owner) >= _MOST:
                raise OverQuotaError(f"there are {_MOST} rules already; that is the most")
            await put_rule(work.connection, rule)
            work.send(FolderRuled(owner=owner, rule=rule, at=rule.changed_at))
        return rule

    async def drop(self, command: DropFolderRule, *, cause: str, context: Context) -> FolderRule:
        """Let a rule hold no more."""
        owner = _owner_of(command)
        async with self._unit.handling(cause, context) as work:
            if work is None:
                return await self._as_it_is(owner, command)
            rule = await find_rule(work.connection, owner, _place(command))
            if rule is None:
                raise NotFoundError(f"there is no rule of {_said(command)}")
            await drop_rule(work.connection, rule)
            work.send(FolderUnruled(owner=owner, rule=rule, at=now()))
        return rule

    async def page(self, query: ListFolderRules) -> FolderRulePage:
        """Return all rules of an owner."""
        owner = owner_or_self(query.principal, query.owner)
        async with self._unit.reading() as connection:
            return FolderRulePage(items=await list_rules(connection, owner))

    async def usage(self, query: GetStorageUsage) -> StorageUsage:
        """Return what an owner's files come to, and what is kept besides."""
        owner, at = owner_or_self(query.principal, query.owner), now()
        async with self._unit.reading() as connection:
            files = await usage_of(connection, owner)
            return StorageUsage(
                owner=owner,
                files=files.files,
                size=files.size,
                quota=await self._quotas.of_owner(connection, owner),
                uploads=await under_way(connection, owner, "", at),
                versions=await amount_kept(connection, owner, self._since([Reason.OVERWRITTEN])),
                trash=await amount_kept(connection, owner, self._since([Reason.DELETED, Reason.EXPIRED])),
            )

    def _since(self, reasons: list[Reason]) -> dict[Reason, datetime]:
        at = now()
        return {reason: at - self._kept[reason] for reason in reasons}

    async def owners(self, query: ListOwners) -> OwnersPage:
        """Return what everybody's files come to."""
        if not sees_all(query.principal):
            require_operator(query.principal)
        async with self._unit.reading() as connection:
            found = await owners_page(connection, start_of(query.cursor), query.limit + 1)
        more = cursor_of(found[query.limit - 1].owner) if len(found) > query.limit else None
        return OwnersPage(items=found[: query.limit], next_cursor=more)

    async def _as_it_is(self, owner: str, command: SetFolderRule | DropFolderRule) -> FolderRule:
        """Answer a command that was handled before."""
        async with self._unit.reading() as connection:
            rule = await find_rule(connection, owner, _place(command))
        if rule is None:
            raise NotFoundError(f"there is no rule of {_said(command)}")
        return rule


def _owner_of(command: SetFolderRule | DropFolderRule) -> str:
    """Return whose folder is meant, or refuse: owners bound their folders, admins bound owners."""
    principal: Principal = command.principal
    owner = require_on_folder(principal, command.owner, command.path or "")
    if command.path is None and not principal.is_admin:
        raise ForbiddenError("what all your files may come to is for admins of the site to say")
    return owner


def _place(command: SetFolderRule | DropFolderRule) -> str:
    return "" if command.path is None else f"{command.path}/"


def _said(command: SetFolderRule | DropFolderRule) -> str:
    return "all files" if command.path is None else f"the folder {command.path}"
