"""A TCP relay on loopback that delays every byte by half a round trip each way; bandwidth is not limited.

    python -m benchmarks.delay PORT_OF_SERVER ROUND_TRIP_SECONDS

Prints its own port. It is a separate process, so that it does not share an interpreter with what is measured.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def delayed(url: str, round_trip: float) -> Iterator[str]:
    """The URL of a relay to the server at `url` on loopback; `round_trip` in seconds."""
    command = [sys.executable, "-m", "benchmarks.delay", url.rpartition(":")[2], str(round_trip)]
    relay = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert relay.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(relay.stdout.readline())}"
    finally:
        relay.terminate()
        relay.communicate(timeout=10)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()

    def later(data: bytes) -> None:
        if not writer.is_closing():
            writer.write(data)

    try:
        while data := await reader.read(1 << 18):
            loop.call_later(delay, later, data)
    except ConnectionError:
        return
    finally:
        loop.call_later(delay, writer.close)


async def _serve(upstream: int, delay: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(_pass_on(reader, back, delay), _pass_on(there, writer, delay))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 2))
