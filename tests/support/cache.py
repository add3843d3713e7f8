"""Redis, lost whole while everything else goes on."""

import redis
from hongyan import stores


def lose_cache(client: redis.Redis | None = None) -> None:
    """Forget all that Redis holds, key by key: functions may not flush it, nor have keys but the product's own."""
    client = client or stores.cache_client()
    if keys := list(client.scan_iter()):
        client.delete(*keys)
