import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { BackstayError, describeError } from '../../api/errors.ts';
import { isRecord } from '../../api/json.ts';
import { readYAML } from '../read/yaml.ts';

/** The program that builds a folder which is added to its arguments. */
export type KustomizeProgram = readonly [string, ...string[]];

export const KUSTOMIZE: KustomizeProgram = ['kustomize', 'build'];

export interface BuildOptions {
  program: KustomizeProgram;
  /** A folder that exists, for a folder of the build's own. */
  scratch: string;
  /** Path of the kustomization from the repository's root. */
  start: string;
  /** Contents by path from the repository's root. */
  files: ReadonlyMap<string, Buffer>;
  /** Bytes that a build may print. */
  maxOutput: number;
}

const MAX_MESSAGE = 1000;

/**
 * Runs kustomize over files that were gathered: in a folder that holds nothing else, without plugins, functions, charts and anything
 * outside of the folder, with no program to call and no way to a network.
 *
 * @returns what it prints
 * @throws BackstayError KustomizeNotFound, KustomizeFailed, RepositoryTooLarge; the reason of the signal
 */
export async function build(options: BuildOptions, signal: AbortSignal): Promise<string> {
  const { scratch, start, files } = options;
  const folder = await mkdtemp(join(scratch, 'build-'));
  try {
    for (const [path, content] of files) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, path === start ? withOrigins(content) : content);
    }
    return await run(options, folder, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The kustomization with the wish that every object says which file it comes from. */
function withOrigins(content: Buffer): Buffer | string {
  const [document] = readYAML(content.toString('utf8')).documents;
  if (document === undefined || !isRecord(document.value)) return content;
  const { buildMetadata, ...rest } = document.value;
  const wishes = Array.isArray(buildMetadata) ? buildMetadata.filter((wish) => wish !== 'originAnnotations') : [];
  return JSON.stringify({ ...rest, buildMetadata: [...wishes, 'originAnnotations'] });
}

async function run({ program, start, maxOutput }: BuildOptions, folder: string, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const [command, ...args] = program;
  const child = spawn(command, [...args, join(folder, posix.dirname(start))], {
    cwd: folder,
    // Nothing to run and nobody to ask: what the walk before let through by mistake finds no git and no server.
    env: {
      PATH: '',
      HOME: folder,
      XDG_CONFIG_HOME: folder,
      TMPDIR: folder,
      HTTP_PROXY: 'http://127.0.0.1:9',
      HTTPS_PROXY: 'http://127.0.0.1:9',
      GOMEMLIMIT: '256MiB',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  });
  const printed: Buffer[] = [];
  let said = '';
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxOutput) child.kill('SIGKILL');
    else printed.push(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 1 << 16) said += chunk.toString('utf8');
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw failed(describeError(error));
    throw new BackstayError('KustomizeNotFound', `${command} is not installed here`, {
      remedy: 'use the image of Backstay, or follow a folder without a kustomization',
    });
  });
  signal.throwIfAborted();
  if (bytes > maxOutput)
    throw new BackstayError(
      'RepositoryTooLarge',
      `The kustomization is too large: it builds more than ${maxOutput} bytes`,
    );
  if (code !== 0) throw failed(said.replaceAll(`${folder}/`, '').replaceAll(folder, '.'));
  return Buffer.concat(printed).toString('utf8');
}

function failed(said: string): BackstayError {
  // A terminal's colours and line breaks have no place in a status.
  const words = said
    .replaceAll(/\p{Cc}+/gu, ' ')
    .replace(/^\s*error:\s*/i, '')
    .trim();
  return new BackstayError('KustomizeFailed', `kustomize cannot build it: ${words.slice(0, MAX_MESSAGE)}`);
}
