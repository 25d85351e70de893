import { readdir, readFile } from 'node:fs/promises';

/**
 * Ends every process of this user whose environment says `name=value`.
 *
 * A git that is killed leaves the transport it started (git-remote-https, ssh) waiting for its server, and the library that started git
 * knows only git. Where there is no /proc, they end by themselves when the server or the low-speed limit lets go of them.
 */
export async function endProcesses(name: string, value: string): Promise<void> {
  const entries = await readdir('/proc').catch(() => []);
  const wanted = `${name}=${value}`;
  await Promise.all(
    entries
      .filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid))
      .map(async (entry) => {
        // Of another user, or gone meanwhile: not ours.
        const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
        if (!environment.split('\0').includes(wanted)) return;
        try {
          process.kill(Number(entry), 'SIGKILL');
        } catch {
          // It ended between the two calls.
        }
      }),
  );
}
