"""A receiver of webhooks that notes what came when, can be slow, and can be away."""

import asyncio
import re
import threading
import time

NUMBER = re.compile(rb"load-(\d+)")
LENGTH = re.compile(rb"content-length: (\d+)", re.I)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Receiver:
    """Runs in a thread of its own; `delay` is what it takes for each message, in seconds."""

    def __init__(self):
        self.delay, self.port, self.server = 0, 0, None
        # When each message came, and its number.
        self.taken, self.writers = [], set()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def open(self):
        self.wait(self.listen())

    def close(self):
        self.wait(self.shut())

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def shut(self):
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(LENGTH.search(head)[1]))
                if self.delay:
                    await asyncio.sleep(self.delay)
                number = NUMBER.search(body)
                if number:
                    self.taken.append((time.monotonic(), int(number[1])))
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()
