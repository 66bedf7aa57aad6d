"""Files of applications: the example of the document, and small ones."""

from __future__ import annotations

from contracts.catalog import Catalog
from services.scheduler.catalog.reading import read_catalog

__all__ = ["DOCUMENT", "catalog_of", "small"]

DOCUMENT = """\
decode:
  v0_10_1:
    train:
      app:
        cmd:
          - "/docker/entrypoint.sh"
          - "--train"
          - "--calib_path=$(find /files/data -name '*.mat' | head -n 1)"
          - "--param_path=$(find /files/config -name '*.yaml' | head -n 1)"
          - "--model_path=/files/model"
          - "--log_path=/files/log"
        env: [SEED]
      handler:
        image_url: "public.ecr.aws/g0e9g3b1/decode:v0_10_1"
        files_down:
          config_id: config
          data_ids: data
          artifact_ids: artifact
        files_up:
          log: log
          artifact: model
      aws_resources:
        hardware:
          MEMORY: 8000
          VCPU: 4
          GPU: 1
        timeout: 18000
"""


def catalog_of(text: str) -> Catalog:
    """Return what a file offers."""
    return Catalog(applications=read_catalog(text.encode()))


def small(command: str, *, env: str = "[]", timeout: int = 60) -> str:
    """Return a file with one application, `small/v1/run`, that needs little."""
    return f"""\
small:
  v1:
    run:
      app: {{cmd: [{command!r}], env: {env}}}
      handler: {{files_down: {{data_ids: data, config_id: config}}, files_up: {{output: out, artifact: model}}}}
      aws_resources: {{hardware: {{MEMORY: 64, VCPU: 1, GPU: 0}}, timeout: {timeout}}}
"""
