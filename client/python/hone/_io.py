"""What a client does with the outside world, in two ways: blocking and by asyncio.

All that a client does is written once, as coroutines over an Io (_session.py). asyncio runs them as they are. BlockingIo's coroutines never wait for anybody
else, so `run` and `iterate` get their results without an event loop.
"""
from __future__ import annotations

import asyncio
import time
from typing import Any, AsyncGenerator, Callable, Coroutine, Generator, Optional, Protocol, TypeVar

import grpc
import grpc.aio

from hone._channel import Target, open_channel, stubs
from hone.errors import from_rpc

T = TypeVar("T")


class Io(Protocol):
    async def call(self, rpc: str, request: Any, timeout: Optional[float]) -> Any:
        """A call with one answer; `request` is an iterator where the RPC takes a stream. HoneError."""

    def stream(self, rpc: str, request: Any) -> AsyncGenerator[Any, None]:
        """Answers, one after another; the call is cancelled when the generator is closed. HoneError."""

    async def wait(self, seconds: float) -> None:
        """Lets the time pass, and meanwhile looks for the server: gRPC tries to connect only while somebody waits for it."""

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function that takes its time over files."""

    async def close(self) -> None: ...


class BlockingIo:
    def __init__(self, target: Target):
        self._metadata = target.metadata
        self._channel = open_channel(grpc, target)
        self._stubs = stubs(self._channel)

    async def call(self, rpc: str, request: Any, timeout: Optional[float]) -> Any:
        try:
            return self._stubs[rpc](request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    async def stream(self, rpc: str, request: Any) -> AsyncGenerator[Any, None]:
        call = self._stubs[rpc](request, metadata=self._metadata)
        try:
            for answer in call:
                yield answer
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()

    async def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout=seconds)
        except grpc.FutureTimeoutError:
            pass
        finally:
            ready.cancel()
        time.sleep(max(0.0, end - time.monotonic()))

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)

    async def close(self) -> None:
        self._channel.close()


class AsyncioIo:
    def __init__(self, target: Target):
        self._target = target
        self._opened: Any = None

    # A channel of grpc.aio belongs to the event loop in which it is made, so it is made by the first call.
    def _channel(self) -> Any:
        if self._opened is None:
            self._opened = open_channel(grpc.aio, self._target)
            self._stubs = stubs(self._opened)
        return self._opened

    def _call(self, rpc: str, request: Any, timeout: Optional[float]) -> Any:
        self._channel()
        return self._stubs[rpc](request, timeout=timeout, metadata=self._target.metadata)

    async def call(self, rpc: str, request: Any, timeout: Optional[float]) -> Any:
        try:
            return await self._call(rpc, request, timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None

    async def stream(self, rpc: str, request: Any) -> AsyncGenerator[Any, None]:
        call = self._call(rpc, request, None)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()

    async def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        try:
            await asyncio.wait_for(self._channel().channel_ready(), seconds)
        except asyncio.TimeoutError:
            pass
        await asyncio.sleep(max(0.0, end - time.monotonic()))

    async def work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over a BlockingIo."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("a coroutine over a BlockingIo has waited for an event loop")


def iterate(generator: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """What an asynchronous generator over a BlockingIo yields. Closing the one closes the other."""
    try:
        while True:
            try:
                item = run(generator.__anext__())  # type: ignore[arg-type, unused-ignore]
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(generator.aclose())  # type: ignore[arg-type, unused-ignore]
