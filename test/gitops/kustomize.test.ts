// Folders with a kustomization, built by the real kustomize that kubectl holds.
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tool } from '../../scripts/tools/tool.ts';
import type { KustomizeProgram } from '../../src/gitops/kustomize/build.ts';
import { readBuilt } from '../../src/gitops/kustomize/built.ts';
import { type Entry, gather } from '../../src/gitops/kustomize/gather.ts';
import { failureAt, type SourceObject } from '../../src/gitops/read/objects.ts';
import { SOURCE_LIMITS } from '../../src/gitops/source/tree.ts';
import { GitServer, type TestRepository } from './git-server.ts';
import { failureOf, type ReadOptions, readCommit } from './reading.ts';

interface Context {
  server: GitServer;
  repository: TestRepository;
  folder: string;
  program: KustomizeProgram;
}

const test = suite<Context>('kustomize');
let serial = 0;

test.before(async (context) => {
  context.server = await GitServer.start();
  context.program = [await tool('kubernetes'), 'kubectl', 'kustomize'];
});
test.after((context) => context.server.stop());
test.before.each((context) => {
  serial += 1;
  context.repository = context.server.repository(`r${serial}`);
  context.folder = mkdtempSync(join(tmpdir(), 'backstay-kustomize-'));
});
test.after.each(({ folder }) => {
  const left = existsSync(join(folder, 'copy')) ? readdirSync(join(folder, 'copy')) : [];
  rmSync(folder, { recursive: true, force: true });
  assert.equal(
    left.filter((name) => name.startsWith('build-')),
    [],
    'a build leaves nothing behind',
  );
});

const read = ({ server, repository, folder, program }: Context, options: Partial<ReadOptions> = {}) =>
  readCommit({ url: server.urlOf(repository), folder: join(folder, 'copy'), kustomize: program, ...options });

async function objects(context: Context, path?: string) {
  const { built, failures } = await read(context, path === undefined ? {} : { path });
  assert.equal(failures, []);
  assert.ok(built);
  const found = readBuilt(built);
  assert.equal(found.failures, []);
  return found.objects;
}

async function complaints(context: Context, path?: string): Promise<string[]> {
  const { failures, built } = await read(context, path === undefined ? {} : { path });
  assert.is(built, undefined);
  return failures.map(({ file, line, field, message }) => `${file}:${line ?? ''} ${field ?? ''}: ${message}`);
}

const fieldsOf = (one: SourceObject | undefined): Record<string, unknown> => ({ ...one?.object });

const retention = (name: string, last = 7): string =>
  `apiVersion: backstay.dev/v1alpha1\nkind: RetentionPolicy\nmetadata:\n  name: ${name}\nspec:\n  successfulSnapshots:\n    last: ${last}\n`;

const BASE = {
  'base/kustomization.yaml': 'resources:\n  - policies.yaml\n',
  'base/policies.yaml': `${retention('hourly')}---\n${retention('daily', 30)}`,
};

test('a base with overlays: each is what kustomize makes of it, and each object knows its file and line', async (context) => {
  context.repository.commit({
    ...BASE,
    'overlays/paris/kustomization.yaml':
      'namespace: paris\nnamePrefix: eu-\nresources: [../../base, own.yaml]\npatches:\n  - path: keep.yaml\n    target: {kind: RetentionPolicy, name: daily}\n',
    'overlays/paris/keep.yaml': '- {op: replace, path: /spec/successfulSnapshots/last, value: 90}\n',
    'overlays/paris/own.yaml': retention('own'),
    'overlays/lima/kustomization.yaml': 'namespace: lima\nresources:\n  - ../../base\n',
  });
  const paris = await objects(context, 'overlays/paris');
  assert.equal(
    paris
      .map(({ object: { metadata }, source }) =>
        [metadata.namespace, metadata.name, source.file, source.line].join(' '),
      )
      .sort(),
    [
      'paris eu-daily base/policies.yaml 9',
      'paris eu-hourly base/policies.yaml 1',
      'paris eu-own overlays/paris/own.yaml 1',
    ],
  );
  const daily = paris.find(({ object }) => object.metadata.name === 'eu-daily');
  assert.ok(daily);
  assert.equal(fieldsOf(daily).spec, { successfulSnapshots: { last: 90 } });
  assert.is(daily.object.metadata.annotations, undefined, 'what says where it comes from is not applied');
  assert.is(failureAt(daily, 'spec.successfulSnapshots.last', 'x').line, 15, 'the line of the field in the base');
  assert.equal((await objects(context, 'overlays/lima')).map(({ object }) => object.metadata.name).sort(), [
    'daily',
    'hourly',
  ]);
});

test('every way to refer to a file: patches, components, replacements, generators, schemas', async (context) => {
  context.repository.commit({
    ...BASE,
    'top/kustomization.yml': [
      'resources: [../base]',
      'components: [../component]',
      'patches: [{path: merge.yaml}]',
      'patchesStrategicMerge: [old.yaml]',
      'replacements: [{path: replacement.yaml}]',
      'configurations: [names.yaml]',
      'transformers: [labels.yaml]',
      'configMapGenerator: [{name: made, files: [key=value.txt, other.txt], envs: [some.env]}]',
    ].join('\n'),
    'top/merge.yaml': retention('hourly', 1),
    'top/old.yaml': retention('daily', 2),
    'top/replacement.yaml':
      '- source: {kind: RetentionPolicy, name: hourly, fieldPath: spec.successfulSnapshots.last}\n  targets: [{select: {kind: RetentionPolicy, name: daily}, fieldPaths: [spec.successfulSnapshots.last]}]\n',
    'top/names.yaml': 'nameReference: []\n',
    'top/labels.yaml':
      'apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: labels}\nlabels: {team: shop}\nfieldSpecs: [{path: metadata/labels, create: true}]\n',
    'top/value.txt': 'a',
    'top/other.txt': 'b',
    'top/some.env': 'A=1\n',
    'component/kustomization.yaml':
      'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {from: component}\n',
  });
  const found = await objects(context, 'top');
  const find = (kind: string, name?: string) =>
    fieldsOf(found.find(({ object }) => object.kind === kind && (name === undefined || object.metadata.name === name)));
  const { spec, metadata } = find('RetentionPolicy', 'daily');
  assert.equal(spec, { successfulSnapshots: { last: 1 } });
  assert.equal(metadata, { name: 'daily', labels: { team: 'shop' }, annotations: { from: 'component' } });
  assert.equal(find('ConfigMap').data, { A: '1', key: 'a', 'other.txt': 'b' });
});

test('what is not in the commit is refused with its line, and nothing is asked of anybody', async (context) => {
  const before = context.server.requests.length;
  context.repository.commit({
    ...BASE,
    'a/kustomization.yaml': [
      'resources:',
      `- ${context.server.urlOf(context.repository)}//base?ref=main`,
      '- git@example.com:some/repository',
      '- github.com/some/repository',
      '- git::https://example.com/repository',
      '- https://example.com/policies.yaml',
      '- /etc/passwd',
      '- ../../outside',
      '- missing.yaml',
      '- ../empty',
      'patches:',
      '- path: file:///etc/passwd',
      'helmCharts:',
      '- name: chart',
      'openapi:',
      '  path: no.json',
    ].join('\n'),
    'empty/notes.txt': 'nothing',
  });
  symlinkSync('/etc', join(context.repository.folder, 'a', 'etc'));
  context.repository.commit({ 'b/kustomization.yaml': 'resources: [../a/etc/passwd, ../a/etc]\n' });
  assert.equal(await complaints(context, 'a'), [
    `a/kustomization.yaml:13 helmCharts: helmCharts is not built: a chart runs programs and is fetched; commit what helm template prints`,
    `a/kustomization.yaml:2 resources[0]: ${context.server.urlOf(context.repository)}//base?ref=main is not in this repository: nothing is fetched from elsewhere; commit a copy of it`,
    'a/kustomization.yaml:3 resources[1]: git@example.com:some/repository is not in this repository: nothing is fetched from elsewhere; commit a copy of it',
    'a/kustomization.yaml:4 resources[2]: github.com/some/repository is not in this repository: nothing is fetched from elsewhere; commit a copy of it',
    'a/kustomization.yaml:5 resources[3]: git::https://example.com/repository is not in this repository: nothing is fetched from elsewhere; commit a copy of it',
    'a/kustomization.yaml:6 resources[4]: https://example.com/policies.yaml is not in this repository: nothing is fetched from elsewhere; commit a copy of it',
    'a/kustomization.yaml:7 resources[5]: /etc/passwd is no path in this repository; write it relative to this file',
    'a/kustomization.yaml:12 patches[0].path: file:///etc/passwd is not in this repository: nothing is fetched from elsewhere; commit a copy of it',
    'a/kustomization.yaml:8 resources[6]: ../../outside leads out of the repository',
    'a/kustomization.yaml:9 resources[7]: missing.yaml is not in this commit',
    'a/kustomization.yaml:10 resources[8]: ../empty is a folder without a kustomization',
    'a/kustomization.yaml:16 openapi.path: no.json is not in this commit',
  ]);
  assert.equal(await complaints(context, 'b'), [
    'b/kustomization.yaml:1 resources[0]: ../a/etc/passwd lies behind the symbolic link a/etc',
    'b/kustomization.yaml:1 resources[1]: ../a/etc is a symbolic link; write the file itself',
  ]);
  const asked = context.server.requests.slice(before).filter((one) => !one.url.includes(`/r${serial}/`));
  assert.equal(asked, [], 'only the repository itself was asked');
});

test('plugins, functions and files above a folder are refused by kustomize, and nothing is run', async (context) => {
  const marker = join(context.folder, 'ran');
  const { repository } = context;
  repository.commit({
    'plugin/kustomization.yaml': 'generators: [exec.yaml]\n',
    'plugin/exec.yaml': `apiVersion: someteam.example.com/v1\nkind: Exec\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: "exec: {path: run.sh}"\n`,
    'plugin/run.sh': `#!/bin/sh\ntouch ${marker}\n`,
    'container/kustomization.yaml': 'transformers: [container.yaml]\n',
    'container/container.yaml': `apiVersion: v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: "container: {image: example.com/x}"\n`,
    'above/kustomization.yaml': 'resources: [../policies.yaml]\n',
    'policies.yaml': retention('daily'),
  });
  assert.match((await complaints(context, 'plugin')).join(), /kustomize cannot build it: .*plugin/);
  assert.match((await complaints(context, 'container')).join(), /kustomize cannot build it: .*plugin/);
  const [above = ''] = await complaints(context, 'above');
  assert.match(above, /kustomize cannot build it: .*security; file .* is not in or below/);
  assert.not.match(above, new RegExp(context.folder), "the place of the build is nobody else's business");
  assert.not.ok(existsSync(marker));
});

test('what kustomize is not there for', async (context) => {
  context.repository.commit({ ...BASE, 'broken/kustomization.yaml': 'resources: [\n', 'list/Kustomization': '- a\n' });
  const missing = await read(context, { path: 'base', kustomize: ['/nonexistent/kustomize', 'build'] });
  assert.equal(
    missing.failures.map(({ file, message }) => `${file}: ${message}`),
    [
      'base/kustomization.yaml: /nonexistent/kustomize is not installed here; use the image of Backstay, or follow a folder without a kustomization',
    ],
  );
  assert.match((await complaints(context, 'broken')).join(), /^broken\/kustomization.yaml:\d+ : Cannot read the YAML/);
  assert.match((await complaints(context, 'list')).join(), /list\/Kustomization:1 : It is not one map of fields/);
  assert.match((await complaints(context)).join(), /^base\/kustomization.yaml: : .*set spec.path to its folder/);
});

test('a build that takes too long is ended at the deadline', async (context) => {
  context.repository.commit(BASE);
  const program: KustomizeProgram = ['/bin/sh', '-c', 'exec /bin/sleep 60', 'sh'];
  const slow = await failureOf(read(context, { path: 'base', kustomize: program, signal: AbortSignal.timeout(1500) }));
  assert.match(slow.text, /timeout/);
});

/** A commit in memory, as the walk sees it. */
function commitOf(files: Readonly<Record<string, string>>) {
  const entries = new Map<string, Entry>(
    Object.entries(files).map(([path, text]) => [path, { kind: 'file', oid: path, bytes: text.length }]),
  );
  return {
    entries,
    read: async (oids: readonly string[]) => new Map(oids.map((oid) => [oid, Buffer.from(files[oid] ?? '')])),
  };
}

test('bases that double with every level, that refer to themselves, and files that are taken a thousand times', async () => {
  const doubling: Record<string, string> = { 'l20/kustomization.yaml': 'resources: [x.yaml]', 'l20/x.yaml': '' };
  for (let level = 0; level < 20; level += 1)
    doubling[`l${level}/kustomization.yaml`] = `resources: [../l${level + 1}, ../l${level + 1}/]`;
  const tooLarge = await failureOf(gather('l0/kustomization.yaml', commitOf(doubling), SOURCE_LIMITS));
  assert.is(tooLarge.code, 'RepositoryTooLarge');
  assert.match(tooLarge.text, 'more than 1000 kustomizations');

  const circle = { 'a/kustomization.yaml': 'resources: [../b]', 'b/kustomization.yaml': 'resources:\n- ../a\n' };
  assert.equal((await gather('a/kustomization.yaml', commitOf(circle), SOURCE_LIMITS)).failures, [
    {
      file: 'b/kustomization.yaml',
      line: 2,
      field: 'resources[0]',
      message: '../a leads back here: a/kustomization.yaml → b/kustomization.yaml → a/kustomization.yaml',
    },
  ]);

  const often = {
    'kustomization.yaml': `configMapGenerator:\n- files: [${Array.from({ length: 1000 }, (_, index) => `k${index}=big.txt`).join(', ')}]`,
    'big.txt': 'x'.repeat(100_000),
  };
  const tooMuch = await failureOf(gather('kustomization.yaml', commitOf(often), SOURCE_LIMITS));
  assert.is(tooMuch.code, 'RepositoryTooLarge');
  assert.match(tooMuch.text, 'bytes');
});

test.run();
