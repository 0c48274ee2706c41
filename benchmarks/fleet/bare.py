"""A gRPC server that lets every agent in and does nothing else: what the machine and gRPC alone cost.

`python -m benchmarks.fleet.bare PORT CERTIFICATE KEY`, as often as there are processes. SIGUSR1 sends every
agent the bytes of a hint.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

import grpc

from agents.server.options import CHANNEL_OPTIONS
from agents.wire import agent_pb2 as pb

HINT = pb.ServerMessage(
    session_epoch=1, state_changed=pb.StateChanged(generation=2, access_version=1)
)


class Bare:
    def __init__(self) -> None:
        self._calls: set[Any] = set()
        self._writes: set[asyncio.Task[None]] = set()

    async def connect(self, _requests: Any, context: Any) -> None:
        await context.send_initial_metadata(
            (("imp-nonce", "n" * 43), ("imp-time", str(int(time.time()))))
        )
        if await context.read() is grpc.aio.EOF:
            return
        welcome = pb.ConnectResponse(
            rest_token="t" * 43, rest_url="http://portal", heartbeat_interval_s=30
        )
        await context.write(pb.ServerMessage(session_epoch=1, connect_response=welcome))
        self._calls.add(context)
        try:
            while await context.read() is not grpc.aio.EOF:
                pass
        finally:
            self._calls.discard(context)

    def wake(self) -> None:
        for call in self._calls:
            write = asyncio.get_running_loop().create_task(call.write(HINT))
            self._writes.add(write)
            write.add_done_callback(self._writes.discard)


async def serve(port: int, key: bytes, certificate: bytes) -> None:
    server, bare = grpc.aio.server(options=CHANNEL_OPTIONS), Bare()
    handler = grpc.stream_stream_rpc_method_handler(
        bare.connect, response_serializer=pb.ServerMessage.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("agent.v1.AgentService", {"Connect": handler})
    server.add_generic_rpc_handlers((service,))
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, bare.wake)
    await server.wait_for_termination()


if __name__ == "__main__":
    port, certificate, key = sys.argv[1:]
    asyncio.run(serve(int(port), Path(key).read_bytes(), Path(certificate).read_bytes()))
