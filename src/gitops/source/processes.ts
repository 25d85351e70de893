import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** A killed process is gone when the kernel has taken back what it had, which takes moments. */
const GONE_WITHIN_MS = 2000;
const LOOK_MS = 10;

/**
 * Ends every process of this user whose environment says `name=value`, and waits until they are gone, up to two seconds.
 *
 * A git that is killed leaves the transport it started (git-remote-https, ssh) waiting for its server, and the library that started git
 * knows only git. Where there is no /proc, they end by themselves when the server or the low-speed limit lets go of them.
 */
export async function endProcesses(name: string, value: string): Promise<void> {
  const giveUp = performance.now() + GONE_WITHIN_MS;
  for (;;) {
    // Looked for anew each time: one that was just started has the environment of its parent until then.
    const found = await processesWith(`${name}=${value}`);
    if (found.length === 0 || performance.now() > giveUp) return;
    for (const pid of found) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended between the two calls.
      }
    }
    await sleep(LOOK_MS);
  }
}

async function processesWith(setting: string): Promise<number[]> {
  const entries = await readdir('/proc').catch(() => []);
  const pids = entries.map(Number).filter((pid) => Number.isSafeInteger(pid) && pid !== process.pid);
  const marked = await Promise.all(
    pids.map(async (pid) => {
      // Of another user, or gone meanwhile: not ours.
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      return environment.split('\0').includes(setting);
    }),
  );
  return pids.filter((_, index) => marked[index]);
}
