import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** So many bytes of buffers are used up before they are freed. */
const EVERY_BYTES = 4 * 1024 * 1024;

type Collect = (options: { type: 'minor' }) => void;

let collect: Collect | undefined;
let waiting = 0;

/**
 * Tells that buffers of so many bytes are of no more use, and frees them once they are a few megabytes.
 *
 * By itself V8 looks when its own heap has grown, which the bytes of buffers are not part of: at 300 MB/s another 60 to 100 MB of dead
 * buffers would be resident. A collection of the young generation takes about half a millisecond here, and what it frees is in the
 * processor's cache when it is used again.
 */
export function usedUp(bytes: number): void {
  waiting += bytes;
  if (waiting < EVERY_BYTES) return;
  waiting = 0;
  collect ??= exposed();
  collect({ type: 'minor' });
}

/** The function is hidden unless a flag is set, which may be set at any time and holds for contexts that are made after it. */
function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return typeof gc === 'function' ? (gc as Collect) : () => {};
}
