import { createServer, connect as dial, type Socket } from 'node:net';

/** A Pod behind a Service: where it listens, and whether it said that it is ready. */
export interface Backend {
  host: string;
  port: number;
  isReady(): Promise<boolean>;
}

/** An address that spreads connections over the backends that are ready, as kube-proxy does for a Service. */
export interface Service extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Backends in the order of their turns; the ready ones among them. */
  backends: readonly Backend[];
  readonly ready: readonly Backend[];
}

const LOOK_MS = 200;

/** Looks at its backends five times a second. Connections stay with theirs whatever becomes of it, as they do in a cluster. */
export async function startService(host: string, port: number): Promise<Service> {
  const sockets = new Set<Socket>();
  let ready: Backend[] = [];
  let turn = 0;
  // What one side has ended the other may still write to, as through a Service.
  const server = createServer({ allowHalfOpen: true }, (incoming) => {
    const backend = ready[turn++ % Math.max(1, ready.length)];
    if (backend === undefined) {
      incoming.resetAndDestroy();
      return;
    }
    const outgoing = dial({ host: backend.host, port: backend.port, allowHalfOpen: true });
    for (const [socket, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.resetAndDestroy());
      socket.once('close', () => sockets.delete(socket));
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  let looks = false;
  const look = async (): Promise<void> => {
    // A look that was overtaken by the next would bring a backend back that has gone meanwhile.
    if (looks) return;
    looks = true;
    const answers = await Promise.all(self.backends.map((backend) => backend.isReady().catch(() => false)));
    ready = self.backends.filter((_, index) => answers[index]);
    looks = false;
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  const self: Service = {
    host,
    port,
    backends: [],
    get ready() {
      return ready;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
  return self;
}
