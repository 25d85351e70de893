import { join } from 'node:path';
import { ROOT } from './cache.ts';
import type { GoSource } from './registry.ts';
import { run } from './run.ts';

/** Says what is being done now, in a few words; the caller adds the tool's name and the time. */
export type Say = (state: string) => void;

// Two builds on two cores would only take turns, so compilation is one at a time; fetching the next one's modules overlaps with it.
let compiling: Promise<unknown> = Promise.resolve();

/** Builds a Go source into `folder/name`, statically linked and without paths of this machine in it. */
export async function buildGo(source: GoSource, name: string, folder: string, say: Say): Promise<void> {
  const cwd = join(ROOT, source.module);
  // Flags of a machine's own go.env are put aside: the same sources give the same program.
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' };
  let fetched = 0;
  say('fetching Go modules');
  const listed = await run('go', ['list', '-deps', source.target], {
    cwd,
    env,
    onLine: (line) => {
      if (line.startsWith('go: downloading ')) say(`fetching Go modules, ${++fetched} so far`);
    },
  });
  const total = listed.split('\n').length - 1;
  const variables = Object.entries(source.variables).map(([key, value]) => `-X ${key}=${value}`);
  const build = async (): Promise<void> => {
    let compiled = 0;
    say(`compiling up to ${total} packages`);
    const ldflags = ['-s', '-w', ...variables].join(' ');
    const gcflags = source.compiler === undefined ? [] : ['-gcflags', source.compiler];
    await run(
      'go',
      [
        ...['build', '-v', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, ...gcflags],
        ...['-o', join(folder, name), source.target],
      ],
      { cwd, env, onLine: () => say(`compiling, ${++compiled} of up to ${total} packages`) },
    );
  };
  say('waiting for the build before it');
  const turn = compiling.then(build, build);
  compiling = turn;
  await turn;
}
