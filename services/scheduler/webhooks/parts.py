"""What the delivery of events is made of, as webhooks and as mail."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.client import Client

from services.chassis.sealing import Sealer
from services.chassis.service import Frame
from services.scheduler.mail.parts import MailParts
from services.scheduler.settings import SchedulerSettings

from .carrying import WebhookCarrier
from .delivering import Deliverer
from .gate import HookGate
from .intake import HookIntake
from .lines import Lines
from .listening import Listener
from .sending import Sender
from .service import HookService
from .targets import Targets
from .upkeep import Upkeep
from .words import HOOKS_SINK

__all__ = ["HookParts"]


class HookParts:
    """Every part. Making them starts nothing."""

    def __init__(self, frame: Frame, settings: SchedulerSettings, mail: MailParts) -> None:
        section, unit = settings.scheduler.webhooks, frame.unit
        kept = timedelta(days=section.kept)
        targets = Targets(section)
        self.gate = HookGate(targets)
        self.service = HookService(unit=unit, gate=self.gate, per_owner=section.per_owner)
        intake = HookIntake(unit=unit, kept=kept, more=(mail.teller,))
        self.listener = Listener(unit=unit, bus=frame.bus, intake=intake, look=section.look)
        self.lines = Lines(unit=unit, task_queue=settings.scheduler.temporal.task_queue, listen=self.listener.expect)
        self._sender = Sender(section, targets)
        webhooks = WebhookCarrier(sender=self._sender, sealer=Sealer.of(settings), targets=targets, settings=section)
        self.deliverer = Deliverer(unit=unit, carriers={"webhook": webhooks, mail.channel: mail.carrier})
        self._upkeep = Upkeep(unit=unit, kept=kept)

    def connect(self, frame: Frame) -> None:
        """Have the frame say what is to be delivered, and look after us."""
        frame.sinks[HOOKS_SINK] = self.lines
        frame.bus.on_return.append(self.listener.begin_again)
        frame.doctor.add("deliveries", self._upkeep.deliveries)

    def use(self, client: Client) -> None:
        """Begin to deliver."""
        self.lines.use(client)

    async def run(self) -> None:
        """Listen and clean up until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.listener.run())
                group.create_task(self._upkeep.run())
        finally:
            await self._sender.close()
