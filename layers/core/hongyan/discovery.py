"""Where the modules of a deployment are, by name at run time, from AWS Cloud Map (architecture, decision 15).

Each module is a service of the deployment's namespace, and each instance of it a place where it answers. All instances
of one module are equally good: whoever asks is given any of them. What Cloud Map said is believed for a while, that
nothing is registered for a shorter one, and while Cloud Map does not answer, what it said last.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

from botocore.exceptions import BotoCoreError, ClientError
from snapshot_restore_py import register_before_snapshot

from hongyan import aws
from hongyan.observability import logger
from hongyan.settings import settings

Module = Literal["user", "friend", "message", "file", "speech", "ws_connect"]
Attributes = dict[str, str]

MODULES: tuple[Module, ...] = get_args(Module)

# An instance that was taken out is used for so long after at the most.
FRESH_SECONDS = 10.0
# Cloud Map does not answer: so long it is not asked again, since each question waits for its time-out.
STALE_SECONDS = 10.0
# The same where there is nothing to go on with, or nothing is registered: it may be any moment.
ABSENT_SECONDS = 2.0


class UnresolvedError(Exception):
    """It cannot be told where a module is."""


class NotRegisteredError(UnresolvedError):
    """No instance of the module is registered."""


class RegistryUnreachableError(UnresolvedError):
    """Cloud Map does not answer, and has not said before where the module is."""


class _Found(NamedTuple):
    instances: Sequence[Attributes]
    good_until: float
    without_instances: type[UnresolvedError]


class Registry:
    """What one environment knows of where modules are."""

    def __init__(self, ask: Callable[[Module], Sequence[Attributes]], clock: Callable[[], float]) -> None:
        """Make one that knows nothing yet.

        Args:
            ask: returns the attributes of each instance of a module; raises what botocore raises.
            clock: tells the time in seconds, from any beginning.

        """
        self._ask = ask
        self._clock = clock
        self._found: dict[Module, _Found] = {}
        self._silent_until = clock()

    def attributes_of(self, module: Module) -> Attributes:
        """Return the attributes of any one instance of the module.

        Raises:
            NotRegisteredError: there is none.
            RegistryUnreachableError: it cannot be told whether there is one.

        """
        found = self._found.get(module)
        if found is None or found.good_until <= self._clock():
            found = self._found[module] = self._look_up(module, found)
        if not found.instances:
            raise found.without_instances(module)
        return random.choice(found.instances)  # noqa: S311  # spreads the load, and is no secret

    def forget(self) -> None:
        """Know nothing any more, so that the next question goes to Cloud Map."""
        self._found.clear()
        self._silent_until = self._clock()

    def _look_up(self, module: Module, before: _Found | None) -> _Found:
        if self._clock() < self._silent_until:
            return self._going_on(before)
        try:
            instances = self._ask(module)
        except (BotoCoreError, ClientError) as error:
            # Who asks for one module after the other waits for the time-out once.
            self._silent_until = self._clock() + ABSENT_SECONDS
            logger.warning("Cloud Map is out of reach", module_name=module, error=str(error))
            return self._going_on(before)
        if not instances:
            logger.error("no instance is registered", module_name=module)
        seconds = FRESH_SECONDS if instances else ABSENT_SECONDS
        return _Found(instances, self._clock() + seconds, NotRegisteredError)

    def _going_on(self, before: _Found | None) -> _Found:
        instances = before.instances if before else ()
        seconds = STALE_SECONDS if instances else ABSENT_SECONDS
        return _Found(instances, self._clock() + seconds, RegistryUnreachableError)


def _discover(module: Module) -> list[Attributes]:
    client = aws.service_discovery()
    try:
        answer = client.discover_instances(
            NamespaceName=settings().cloud_map_namespace, ServiceName=module, HealthStatus="ALL"
        )
    except (client.exceptions.NamespaceNotFound, client.exceptions.ServiceNotFound):
        return []
    return [instance["Attributes"] for instance in answer["Instances"]]


_registry = Registry(_discover, time.monotonic)

attributes_of = _registry.attributes_of
forget = _registry.forget

# The monotonic clock stands still in a snapshot (SnapStart): what was found a month ago would seem fresh.
register_before_snapshot(forget)
