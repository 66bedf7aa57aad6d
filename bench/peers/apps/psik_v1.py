"""psik_api 1.0.0 as an app that starts: the documented `main:app` mounts a sub-app whose lifespan nobody runs."""

from fastapi import FastAPI
from psik_api.main import api, lifespan

app = FastAPI(lifespan=lifespan)
app.mount("/v1", api)
