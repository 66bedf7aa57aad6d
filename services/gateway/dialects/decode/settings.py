"""What a site may say of its decode dialect: the section `gateway.dialects.decode`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from contracts.spec import ProjectName

from .groups import Group

__all__ = ["AccessInfo", "DecodeSettings", "Environment"]


class AccessInfo(BaseModel):
    """What `/access_info` tells a frontend of where users log in; its shape is Amazon Cognito's."""

    model_config = ConfigDict(extra="forbid")

    user_pool_id: str = "shunter"
    client_id: str = "shunter"
    region: str = "local"


class Environment(BaseModel):
    """Where the jobs of one environment run."""

    model_config = ConfigDict(extra="forbid")

    backends: list[str] = []
    """Backends by preference; none lets Shunter choose."""
    patience: float | None = Field(default=None, gt=0)
    """Seconds for which a job may wait at one backend before the next is tried."""


class DecodeSettings(BaseModel):
    """Everything has a default: a site serves decode's clients as soon as it has users of theirs."""

    model_config = ConfigDict(extra="forbid")

    sign_up: bool = False
    """Development mode: anybody makes themselves a user, and logs in by a form."""
    groups: dict[Group, ProjectName] = {
        Group.USERS: "decode-users",
        Group.WORKERS: "decode-workers",
        Group.CLOUD: "decode-cloud",
    }
    """Which project of ours each group is; a group that is left out has no members but the site's admins."""
    access: AccessInfo = AccessInfo()
    areas: list[str] = ["artifact", "config", "data", "log", "output"]
    """The folders that every user has, also while nothing is in them."""
    environments: dict[Literal["local", "cloud", "any"], Environment] = {}
    """Where jobs run by the environment that they ask for."""
    mail: bool = True
    """Whether users are told by mail how their jobs ended, where the site sends any."""
    token_lifetime: float = Field(default=3600.0, gt=0)
    """Seconds that a token is good for."""
    cookie_lifetime: int = Field(default=1800, gt=0)
    """Seconds for which a browser keeps the cookie of `POST /login`."""
    shortest_password: int = Field(default=8, ge=1, le=1024)
    transfers: Literal["store", "gateway"] = "store"
    """Whether `…/url` sends clients to the store, or to the gateway."""
    transfer_lifetime: float = Field(default=600.0, gt=0, le=7 * 86400)
    """Seconds for which what `…/url` gives is good, if it leads to the store."""
    most_form: ByteSize = ByteSize(4 * 2**30)
    """Bytes of a file that is uploaded through the gateway: it lies on its disk first."""
