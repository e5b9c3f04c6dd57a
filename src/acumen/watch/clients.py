"""How long a client of the page may take, and how many there may be.

Whoever sends a request byte by byte, or does not read its answer, holds a socket as long as it
likes: some hundreds of such clients, and nobody else is served ("slowloris"). Here a request has
to be whole `PATIENCE_SECONDS` after the connection or the last answer, and what is written has
to be taken in the same time; otherwise the connection is cut. Beyond `CLIENTS_MOST` connections
the one that has been idle for longest makes room for the new one, so that files do not run out, who
is being answered stays, and whoever comes is heard; if all are being answered, the new one is cut.
This is no shield against somebody who opens connections faster than the page can look at them.
"""

from __future__ import annotations

import asyncio
from typing import Any

CLIENTS_MOST = 128
PATIENCE_SECONDS = 10.0


def limited(http: Any) -> type[asyncio.Protocol]:
    """The HTTP protocol of uvicorn, `H11Protocol`, with these limits."""

    class Limited(http):  # type: ignore[misc]
        # One connection: a deadline for the request, another for what is written.
        _asking: asyncio.TimerHandle | None = None
        _taking: asyncio.TimerHandle | None = None
        _idle_since: float | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > CLIENTS_MOST:
                idle = [one for one in self.connections if one._idle_since is not None]
                longest = min(idle, key=lambda one: one._idle_since, default=self)
                longest.transport.abort()
                if longest is self:
                    return
                longest._idle_since = None  # is gone in a moment
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            _end(self._asking)
            _end(self._taking)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            self._wait()
            super().on_response_complete()
            self._look()  # the next one may have come with it

        def pause_writing(self) -> None:
            super().pause_writing()
            self._taking = self._deadline()

        def resume_writing(self) -> None:
            super().resume_writing()
            _end(self._taking)

        def _look(self) -> None:
            """Whether a request is whole: then it is the page's turn."""
            cycle = self.cycle
            if cycle is not None and not cycle.more_body and not cycle.response_complete:
                _end(self._asking)
                self._idle_since = None

        def _wait(self) -> None:
            """From now on for a request."""
            _end(self._asking)
            self._asking, self._idle_since = self._deadline(), self.loop.time()

        def _deadline(self) -> asyncio.TimerHandle:
            found: asyncio.TimerHandle
            found = self.loop.call_later(PATIENCE_SECONDS, self.transport.abort)
            return found

    return Limited


def _end(deadline: asyncio.TimerHandle | None) -> None:
    if deadline is not None:
        deadline.cancel()
