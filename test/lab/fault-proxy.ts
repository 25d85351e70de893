import { createServer, connect as dial, type Socket } from 'node:net';

/** A TCP proxy in this process that can behave badly on purpose. */
export interface FaultProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Passes everything on, as it does at the start; what was held back flows again. */
  pass(): void;
  /** Holds every byte back, both ways, and accepts connections: a network that has gone silent. */
  pause(): void;
  /** Passes nothing on any more for the connections that there are, without ending them: a peer that is gone. New ones are passed on. */
  silence(): void;
  /** Ends connections, and every new one at once: a server that is down. */
  refuse(): void;
  /** Ends the connections that there are, once, with a reset. */
  reset(): void;
  /** Refuses once so many more bytes have come back from the server. */
  refuseAfter(bytes: number): void;
  /** Passes on to the server so many bytes a second, over all connections together, until `pass`. */
  slow(bytesPerSecond: number): void;
  /** Answers HTTP requests whose first line matches, such as `PUT /bucket/key HTTP/1.1`, with 403 as S3 does, until `pass`. */
  deny(requestLine: RegExp): void;
  stop(): Promise<void>;
}

const DENIED = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>';
const DENIAL = [
  'HTTP/1.1 403 Forbidden',
  'Content-Type: application/xml',
  `Content-Length: ${DENIED.length}`,
  'Connection: close',
  '',
  DENIED,
].join('\r\n');
/** A request begins a chunk: its client has waited for the answer to the one before. */
const REQUEST_LINE = /^[A-Z]+ \S+ HTTP\/1\.1(?=\r\n)/;

/** Listens on `host:port` and passes on to `target`. */
export async function startFaultProxy(
  host: string,
  port: number,
  target: { host: string; port: number },
): Promise<FaultProxy> {
  let mode: 'pass' | 'pause' | 'refuse' = 'pass';
  let budget = Number.POSITIVE_INFINITY;
  let rate = Number.POSITIVE_INFINITY;
  let denied: RegExp | undefined;
  let freeAt = 0;
  const sockets = new Set<Socket>();
  const silent = new WeakSet<Socket>();

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

  /** Lets no more through than the rate allows: the socket reads on when what it has brought is paid for. */
  function brake(socket: Socket, bytes: number): void {
    if (rate === Number.POSITIVE_INFINITY) return;
    const now = performance.now();
    freeAt = Math.max(freeAt, now) + (bytes / rate) * 1000;
    socket.pause();
    setTimeout(() => mode !== 'pause' && socket.resume(), freeAt - now).unref();
  }
  function isDenied(chunk: Buffer): boolean {
    const line = denied && REQUEST_LINE.exec(chunk.toString('latin1', 0, 2048))?.[0];
    return line !== undefined && denied?.test(line) === true;
  }

  const server = createServer((inner) => {
    if (mode === 'refuse') return void inner.resetAndDestroy();
    const outer = dial(target);
    keep(inner);
    keep(outer);
    let ended = false;
    inner.on('data', (chunk: Buffer) => {
      if (ended) return;
      if (isDenied(chunk)) {
        ended = true;
        outer.destroy();
        return void inner.end(DENIAL);
      }
      outer.write(chunk);
      brake(inner, chunk.length);
    });
    outer.on('data', (chunk: Buffer) => {
      budget -= chunk.length;
      if (budget < 0) return refuse();
      inner.write(chunk);
    });
    inner.once('end', () => outer.end()).once('close', () => outer.destroy());
    outer.once('end', () => inner.end()).once('close', () => !ended && inner.destroySoon());
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
      rate = Number.POSITIVE_INFINITY;
      denied = undefined;
      for (const socket of sockets) if (!silent.has(socket)) socket.resume();
    },
    pause() {
      mode = 'pause';
      for (const socket of sockets) socket.pause();
    },
    silence() {
      for (const socket of sockets) silent.add(socket.pause());
    },
    refuse,
    reset,
    refuseAfter(bytes) {
      budget = bytes;
    },
    slow(bytesPerSecond) {
      rate = bytesPerSecond;
    },
    deny(requestLine) {
      denied = requestLine;
    },
    async stop() {
      refuse();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}
