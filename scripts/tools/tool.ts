import { access, constants } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { BackstayError } from '../../src/api/errors.ts';
import { exists, installOnce, parcelFolder } from './cache.ts';
import { unpackDebian } from './debian.ts';
import { buildGo, type Say } from './go.ts';
import { type Parcel, TOOLS, type ToolName } from './registry.ts';
import { run } from './run.ts';
import { unpackWheel } from './wheel.ts';

export interface ToolOptions {
  /** Gets a line at least every few seconds while something is built; without it the lines go to standard error. */
  onProgress?: (line: string) => void;
}

/** The absolute path of one program, installed into the cache first when it is not there yet. */
export async function tool(name: ToolName, options: ToolOptions = {}): Promise<string> {
  const { [name]: path } = await tools([name], options);
  return path;
}

/** The absolute paths of several programs; what is missing is installed, side by side where that is faster. */
export async function tools<Name extends ToolName>(
  names: readonly Name[],
  options: ToolOptions = {},
): Promise<Record<Name, string>> {
  const report = options.onProgress ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const installing = new Map<Parcel, Promise<string>>();
  const entries = names.map(async (name): Promise<[Name, string]> => {
    const { env, parcel, file } = TOOLS[name];
    const given = process.env[env];
    if (given) return [name, await fromEnvironment(env, given)];
    const folder = installing.get(parcel) ?? install(parcel, report);
    installing.set(parcel, folder);
    return [name, join(await folder, file)];
  });
  const settled = await Promise.allSettled(entries);
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return Object.fromEntries(await Promise.all(entries)) as Record<Name, string>;
}

async function fromEnvironment(variable: string, value: string): Promise<string> {
  const path = resolve(value);
  await access(path, constants.X_OK).catch((cause: unknown) => {
    throw new BackstayError('NoSuchTool', `${variable} is ${value}, which is no program`, {
      remedy: `correct ${variable} or unset it`,
      cause,
    });
  });
  return path;
}

async function install(parcel: Parcel, report: (line: string) => void): Promise<string> {
  const folder = await parcelFolder(parcel);
  if (await exists(folder)) return folder;
  const started = performance.now();
  const elapsed = (): string => `${Math.round((performance.now() - started) / 1000)} s`;
  let state = 'starting';
  let shown = '';
  // A line when the kind of work changes and every 5 seconds, so that a terminal or a log never stands still.
  const show = (): void => report(`${parcel.name} ${parcel.version}: ${state} (${elapsed()})`);
  const say: Say = (next) => {
    const kind = next.replace(/\d.*/, '');
    state = next;
    if (kind !== shown) show();
    shown = kind;
  };
  const ticking = setInterval(() => {
    if (!state.startsWith('waiting')) show();
  }, 5000);
  try {
    await installOnce(
      folder,
      (temporary) => fill(parcel, temporary, say),
      () => say('waiting for another process that builds it'),
    );
  } finally {
    clearInterval(ticking);
  }
  report(`${parcel.name} ${parcel.version}: ready after ${elapsed()}`);
  return folder;
}

async function fill(parcel: Parcel, folder: string, say: Say): Promise<void> {
  const { name, source } = parcel;
  if (source.kind === 'go') await buildGo(source, name, folder, say);
  else if (source.kind === 'wheel') await unpackWheel(source, name, folder, say);
  else await unpackDebian(source, folder, say);
  if (source.kind === 'go') return; // statically linked
  const files = Object.values(TOOLS).filter((entry) => entry.parcel === parcel);
  for (const { file } of files) await checkLibraries(folder, file, name, source.libraries);
}

/** Where Debian's packages hold libraries, inside a parcel. */
export const OWN_LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/** Says now, with its remedy, what the dynamic linker would say later in a log. */
async function checkLibraries(folder: string, file: string, name: string, packages: readonly string[]): Promise<void> {
  // A parcel may bring libraries of its own; whoever starts its program names their folder in the same way.
  const linked = await run('env', [`LD_LIBRARY_PATH=${join(folder, OWN_LIBRARIES)}`, 'ldd', join(folder, file)]);
  const missing = linked.split('\n').filter((line) => line.includes('not found'));
  if (missing.length === 0) return;
  throw new BackstayError(
    'LibraryMissing',
    `${name} needs ${missing.map((line) => line.trim().split(' ')[0]).join(', ')}`,
    {
      remedy: `apt-get install -y ${packages.join(' ')}`,
    },
  );
}
