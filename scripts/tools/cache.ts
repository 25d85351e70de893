import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Parcel } from './registry.ts';

/** The repository's folder; every path of a source is relative to it. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where built tools are kept: $BACKSTAY_CACHE, else $XDG_CACHE_HOME/backstay, else ~/.cache/backstay. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.BACKSTAY_CACHE) return env.BACKSTAY_CACHE;
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, 'backstay');
  return join(homedir(), '.cache', 'backstay');
}

/** The folder of one parcel: its name tells the version, and a hash of everything that decides its content. */
export async function parcelFolder(parcel: Parcel): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([parcel, process.platform, process.arch]));
  const { source } = parcel;
  if (source.kind === 'go') {
    const folder = join(ROOT, source.module);
    const files = (await readdir(folder)).filter((name) => /^go\.(mod|sum)$|\.go$/.test(name)).sort();
    for (const name of files) hash.update(name).update(await readFile(join(folder, name)));
  } else if (source.kind === 'wheel') {
    hash.update(await readFile(join(ROOT, source.requirements)));
  }
  return join(cacheFolder(), `${parcel.name}-${parcel.version}-${hash.digest('hex').slice(0, 12)}`);
}

/**
 * Fills a folder once, whoever else wants it at the same moment: `fill` works in a temporary neighbour that is renamed when complete,
 * so a folder that exists is whole. The lock only saves double work; the rename is what makes it safe.
 */
export async function installOnce(
  folder: string,
  fill: (temporary: string) => Promise<void>,
  onWait: () => void = () => {},
): Promise<void> {
  if (await exists(folder)) return;
  await mkdir(dirname(folder), { recursive: true });
  await using _lock = await exclusive(folder, onWait);
  if (await exists(folder)) return; // another process filled it while this one waited
  const temporary = await mkdtemp(`${folder}.partial-`);
  try {
    await fill(temporary);
    await rename(temporary, folder);
  } catch (error) {
    if (!(await exists(folder))) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Holds a name that only one process of this machine can hold. It is a listening socket in Linux's abstract namespace, which the kernel
 * frees with the process, so a lock is never stale. Where there is no such namespace nothing is locked.
 */
export async function exclusive(name: string, onWait: () => void = () => {}): Promise<AsyncDisposable> {
  if (process.platform !== 'linux') return { [Symbol.asyncDispose]: async () => {} };
  const address = `\0backstay-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
  for (let waited = false; ; waited = true) {
    const held = await listenOn(address);
    if (held !== undefined) return held;
    if (!waited) onWait();
    await sleep(250);
  }
}

/** Listens on a socket path and keeps nothing alive by it; undefined when another process has it. */
export async function listenOn(path: string): Promise<AsyncDisposable | undefined> {
  const server = createServer((socket) => socket.destroy());
  const listening = await new Promise<boolean>((resolve, reject) => {
    server.once('listening', () => resolve(true));
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen({ path });
  });
  if (!listening) return undefined;
  server.unref();
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}
