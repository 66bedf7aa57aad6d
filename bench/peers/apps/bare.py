"""The bare FastAPI of DESIGN section 8: one worker, a pydantic body, does nothing."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Body(BaseModel):
    """What a submit looks like."""

    argv: list[str]
    name: str | None = None


class Made(BaseModel):
    """What it is answered with."""

    id: str
    state: str = "accepted"


@app.post("/jobs", status_code=201)
async def post_job(body: Body) -> Made:
    """Do nothing."""
    return Made(id=body.argv[0])


@app.get("/jobs/{job_id}")
async def get_job(job_id: str) -> Made:
    """Do nothing."""
    return Made(id=job_id)
