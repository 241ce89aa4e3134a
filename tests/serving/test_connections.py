"""Connections of the service, by uvicorn's protocol with a small application."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from serving.connections import patient_protocol

PATIENCE = 0.6
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def respond_late(_scope: Any, _receive: Any, send: Any) -> None:
    await asyncio.sleep(1.5 * PATIENCE)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def test_a_connection_can_be_used_again_after_a_response_that_took_long():
    async def ask_three_times() -> None:
        config = uvicorn.Config(respond_late, lifespan="off", log_config=None)
        config.load()
        loop, protocol = asyncio.get_running_loop(), patient_protocol(PATIENCE)
        server = await loop.create_server(lambda: protocol(config, ServerState(), {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(3):
            writer.write(REQUEST)
            assert b" 204 " in await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.65 * PATIENCE)
        assert await asyncio.wait_for(reader.read(), 3 * PATIENCE) == b""  # idle, it is closed
        writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(ask_three_times())
