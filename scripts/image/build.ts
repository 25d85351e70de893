/** `node scripts/image/build.ts [FILE]` builds the images of the lab without Docker; Backstay's own goes into FILE for `docker load` or `ctr`. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { describeError } from '../../src/api/errors.ts';
import { cacheFolder, exists, ROOT } from '../tools/cache.ts';
import { tool } from '../tools/tool.ts';
import { archive, type Image, type Layer, writeLayer } from './archive.ts';
import * as contents from './contents.ts';
import { folderEntries, moduleEntries } from './modules.ts';
import { fingerprint, foldersOf, type Program, programEntries } from './programs.ts';
import type { TarEntry } from './tar.ts';

/** Builds Backstay's image: the layers with programs and dependencies come from the cache when nothing in them changed. */
export async function buildBackstayImage(): Promise<Image> {
  const layers = [await systemLayer(), await modulesLayer(), await appLayer()];
  const environment = Object.entries(contents.ENVIRONMENT).map(([name, value]) => `${name}=${value}`);
  const user = `${contents.USER.id}:${contents.USER.id}`;
  const { ENTRYPOINT, APP_FOLDER } = contents;
  const config = { User: user, Env: environment, Entrypoint: ENTRYPOINT, WorkingDir: APP_FOLDER, Labels: {} };
  return { name: contents.IMAGE_NAME, config, layers };
}

/** The image of a Pod's sandbox. */
export async function buildPauseImage(): Promise<Image> {
  return programImage('localhost/pause:1', { source: await tool('pause'), path: '/pause' });
}

/** The Pushgateway, for a Pod beside the operator. */
export async function buildPushgatewayImage(): Promise<Image> {
  return programImage('localhost/pushgateway:dev', { source: await tool('pushgateway'), path: '/usr/bin/pushgateway' });
}

async function programImage(name: string, program: Program): Promise<Image> {
  const layer = await cachedLayer(name, [await fingerprint(program.source)], async () => [
    ...identityFiles(),
    ...contents.LINKS.filter(({ path }) => path.startsWith('/lib')).map((link) => ({ kind: 'link' as const, ...link })),
    ...(await programEntries([program])),
  ]);
  const user = `${contents.USER.id}:${contents.USER.id}`;
  return {
    name,
    config: { User: user, Env: [], Entrypoint: [program.path], WorkingDir: '/', Labels: {} },
    layers: [layer],
  };
}

async function systemLayer(): Promise<Layer> {
  const programs: Program[] = [
    { source: process.execPath, path: contents.NODE_PATH },
    { source: await tool('restic'), path: contents.RESTIC_PATH },
    ...contents.SYSTEM.flatMap((entry) => entry.programs.map((path) => ({ source: path, path }))),
  ];
  const data = contents.DATA.flatMap(({ files }) => files);
  const inputs = await Promise.all([...programs.map(({ source }) => source), ...data].map(fingerprint));
  return cachedLayer('system', inputs, async () => [
    ...identityFiles(),
    { kind: 'folder', path: '/tmp', mode: 0o1777 },
    ...contents.LINKS.map((link) => ({ kind: 'link' as const, ...link })),
    ...(await Promise.all(
      data.map(async (path): Promise<TarEntry> => ({ kind: 'file', path, mode: 0o644, content: await readFile(path) })),
    )),
    ...(await programEntries(programs)),
  ]);
}

async function modulesLayer(): Promise<Layer> {
  const lock = await readFile(join(ROOT, 'package-lock.json'), 'utf8');
  return cachedLayer('modules', [lock, String(contents.NOT_AT_RUN_TIME)], () =>
    moduleEntries(ROOT, contents.APP_FOLDER),
  );
}

async function appLayer(): Promise<Layer> {
  const entries: TarEntry[] = [];
  for (const name of contents.APP) {
    const [source, path] = [join(ROOT, name), `${contents.APP_FOLDER}/${name}`];
    const present = await stat(source).catch(() => undefined);
    if (present?.isDirectory()) entries.push(...(await folderEntries(source, path)));
    else if (present !== undefined) entries.push({ kind: 'file', path, mode: 0o644, content: await readFile(source) });
  }
  const inputs = entries.map((entry) => `${entry.path} ${entry.kind === 'file' ? hashOf([entry.content]) : ''}`);
  return cachedLayer('app', inputs, async () => entries);
}

/** Users and name resolution as every program expects to find them. */
function identityFiles(): TarEntry[] {
  const { name, id } = contents.USER;
  const texts: [path: string, text: string][] = [
    ['/etc/passwd', `root:x:0:0:root:/root:/usr/sbin/nologin\n${name}:x:${id}:${id}::/tmp:/usr/sbin/nologin\n`],
    ['/etc/group', `root:x:0:\n${name}:x:${id}:\n`],
    ['/etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'],
  ];
  return texts.map(([path, text]) => ({ kind: 'file', path, mode: 0o644, content: Buffer.from(text) }));
}

/** A layer from the cache, or made now: `inputs` decide what is in it. */
async function cachedLayer(
  name: string,
  inputs: readonly string[],
  entries: () => Promise<TarEntry[]>,
): Promise<Layer> {
  const key = hashOf(['layer 3', ...inputs.toSorted()]).slice(0, 16);
  const file = join(cacheFolder(), 'images', `${fileName(name)}-${key}`);
  const [tarFile, about] = [`${file}.tar.gz`, `${file}.json`];
  if (await exists(about)) return { file: tarFile, ...JSON.parse(await readFile(about, 'utf8')) };
  const all = await entries();
  const layer = await writeLayer(tarFile, [...foldersOf(all), ...all]);
  const { file: _, ...facts } = layer;
  await replaceFile(about, JSON.stringify(facts));
  await keepNewest(name, '.json');
  await keepNewest(name, '.tar.gz');
  return layer;
}

/** Removes what earlier builds left, but for the few that another work tree may be using. */
async function keepNewest(name: string, ending: string): Promise<void> {
  const folder = join(cacheFolder(), 'images');
  const pattern = new RegExp(`^${fileName(name)}-[0-9a-f]{16}${ending.replaceAll('.', '\\.')}$`);
  const files = (await readdir(folder)).filter((file) => pattern.test(file)).map((file) => join(folder, file));
  const dated = await Promise.all(
    files.map(async (file) => ({ file, time: (await stat(file).catch(() => undefined))?.mtimeMs ?? 0 })),
  );
  for (const { file } of dated.toSorted((a, b) => b.time - a.time).slice(4)) await rm(file, { force: true });
}

function fileName(name: string): string {
  return name.replaceAll(/\W+/g, '-');
}

function hashOf(parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

async function replaceFile(file: string, content: string): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  await writeFile(partial, content);
  await rename(partial, file);
}

if (import.meta.main) {
  try {
    for (const build of [buildBackstayImage, buildPauseImage, buildPushgatewayImage]) {
      const started = performance.now();
      const { name, layers } = await build();
      const megabytes = Math.round(layers.reduce((total, { size }) => total + size, 0) / 1e6);
      console.log(
        `${name}: ${megabytes} MB in ${layers.length} layers after ${Math.round(performance.now() - started)} ms`,
      );
    }
    const target = process.argv[2];
    if (target !== undefined) await pipeline(archive(await buildBackstayImage()), createWriteStream(target));
  } catch (error) {
    console.error(describeError(error));
    process.exitCode = 1;
  }
}
