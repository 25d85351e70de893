import { createServer, connect as dial, type Socket } from 'node:net';

/** A TCP proxy in this process that can behave badly on purpose. */
export interface FaultProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Passes everything on, as it does at the start; what was held back flows again. */
  pass(): void;
  /** Holds every byte back, both ways, and accepts connections: a network that has gone silent. */
  pause(): void;
  /** Ends connections, and every new one at once: a server that is down. */
  refuse(): void;
  /** Ends the connections that there are, once, with a reset. */
  reset(): void;
  /** Refuses once so many more bytes have come back from the server. */
  refuseAfter(bytes: number): void;
  stop(): Promise<void>;
}

/** Listens on `host:port` and passes on to `target`. */
export async function startFaultProxy(
  host: string,
  port: number,
  target: { host: string; port: number },
): Promise<FaultProxy> {
  let mode: 'pass' | 'pause' | 'refuse' = 'pass';
  let budget = Number.POSITIVE_INFINITY;
  const sockets = new Set<Socket>();

  function keep(socket: Socket): void {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    if (mode === 'pause') socket.pause();
  }
  function reset(): void {
    for (const socket of sockets) socket.resetAndDestroy();
  }
  function refuse(): void {
    mode = 'refuse';
    reset();
  }

  const server = createServer((inner) => {
    if (mode === 'refuse') return void inner.resetAndDestroy();
    const outer = dial(target);
    keep(inner);
    keep(outer);
    inner.on('data', (chunk) => void outer.write(chunk));
    outer.on('data', (chunk: Buffer) => {
      budget -= chunk.length;
      if (budget < 0) return refuse();
      inner.write(chunk);
    });
    inner.once('end', () => outer.end()).once('close', () => outer.destroy());
    outer.once('end', () => inner.end()).once('close', () => inner.destroySoon());
    if (mode === 'pause') inner.pause();
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  server.unref();

  const self: FaultProxy = {
    host,
    port,
    pass() {
      mode = 'pass';
      budget = Number.POSITIVE_INFINITY;
      for (const socket of sockets) socket.resume();
    },
    pause() {
      mode = 'pause';
      for (const socket of sockets) socket.pause();
    },
    refuse,
    reset,
    refuseAfter(bytes) {
      budget = bytes;
    },
    async stop() {
      refuse();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}
