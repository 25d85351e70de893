/**
 * Waiting for something to become true in the cluster: for the command, and for tests.
 */
import { BackstayError } from '../api/errors.ts';
import type { Client } from './client.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { type KubeObject, keyFor, type ObjectRef, type ResourceType } from './resource.ts';

export interface WaitOptions {
  /** Default 60. */
  timeoutSeconds?: number | undefined;
  /** Between two looks. Default 1. */
  intervalSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
  clock?: Clock | undefined;
}

/** Asks until the answer is not undefined, and returns it. Fails with `WaitTimeout`, which names what was waited for. */
export async function waitUntil<R>(
  what: string,
  look: () => R | undefined | Promise<R | undefined>,
  options: WaitOptions = {},
): Promise<R> {
  const { timeoutSeconds = 60, intervalSeconds = 1, signal, clock = systemClock } = options;
  const until = clock.now() + timeoutSeconds * 1000;
  for (;;) {
    signal?.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    const left = until - clock.now();
    if (left <= 0) throw new BackstayError('WaitTimeout', `Waited ${timeoutSeconds} s for ${what}`);
    await sleep(Math.min(intervalSeconds * 1000, left), signal, clock);
  }
}

/** Waits until an object exists and satisfies the condition. */
export function waitForObject<T extends KubeObject>(
  client: Pick<Client, 'get'>,
  type: ResourceType<T>,
  ref: ObjectRef,
  condition: (object: T) => boolean,
  options: WaitOptions = {},
): Promise<T> {
  const look = async () => {
    const object = await client.get(type, ref, { signal: options.signal });
    return object !== undefined && condition(object) ? object : undefined;
  };
  return waitUntil(`${type.kind} ${keyFor(ref.namespace, ref.name)}`, look, options);
}

/** Waits until an object is gone. */
export async function waitForDeletion(
  client: Pick<Client, 'get'>,
  type: ResourceType,
  ref: ObjectRef,
  options: WaitOptions = {},
): Promise<void> {
  const look = async () => ((await client.get(type, ref, { signal: options.signal })) === undefined ? true : undefined);
  await waitUntil(`the deletion of ${type.kind} ${keyFor(ref.namespace, ref.name)}`, look, options);
}

/** The result of work that cannot be called off, unless the signal aborts first: then its reason is thrown, and the work goes on unheard. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    if (signal.aborted) abort();
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
