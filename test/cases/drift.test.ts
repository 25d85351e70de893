// time-limit: 180s
// What is in git and was applied is not seen as changed by anybody: neither by kubectl, nor by Argo CD, nor by Flux. Defaults that somebody
// filled in would be told as a drift for ever.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { run } from '../../scripts/tools/run.ts';
import { tool } from '../../scripts/tools/tool.ts';
import { KINDS, type Kind } from '../../src/api/kinds.ts';
import { Namespaces } from '../../src/kube/builtin.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { kubectl } from '../api/crds.ts';
import type { Loose } from '../api/objects.ts';
import { writtenObjects } from './drift.ts';
import { type GuardedServer, startGuardedServer } from './guarded-server.ts';

/** Of Flux's controller that applies what is in git. */
const FLUX = { fieldManager: 'kustomize-controller', force: true };

const test = suite('drift');
let server: GuardedServer;
let file: string;
let written: { title: string; object: Loose }[];

test.before(async () => {
  server = await startGuardedServer();
  written = await writtenObjects();
  for (const { object } of written) {
    const { namespace } = object.metadata;
    if (namespace === undefined) continue;
    await server.client.create(Namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  }
  file = join(server.plane.folder, 'written.json');
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: written.map(({ object }) => object) }));
});
test.after(async () => {
  await server?.[Symbol.asyncDispose]();
});

function typeOf(object: Loose): ResourceType<KubeObject> {
  return KINDS[object.kind as Kind] as ResourceType<KubeObject>;
}

/** All of them as they are on the server. */
async function live(): Promise<Loose[]> {
  return await Promise.all(
    written.map(async ({ object }) => {
      const { namespace, name } = object.metadata;
      return (await server.client.get(typeOf(object), { namespace, name })) ?? assert.unreachable(name);
    }),
  );
}

/** What Argo CD's engine says of pairs. */
async function verdictsOf(pairs: readonly { desired: Loose; live: Loose }[]): Promise<string[]> {
  const path = join(server.plane.folder, 'pairs.jsonl');
  await writeFile(path, pairs.map((pair) => JSON.stringify(pair)).join('\n'));
  return (await run(await tool('argodiff'), [path])).trim().split('\n');
}

/** The titles of those whose object in git is not the live one, each with the difference. */
async function outOfSync(): Promise<string[]> {
  const verdicts = await verdictsOf(
    (await live()).map((one, index) => ({ desired: written[index]?.object, live: one })),
  );
  assert.is(verdicts.length, written.length);
  return written.flatMap(({ title }, index) => {
    const verdict = verdicts[index];
    return verdict === 'in sync' ? [] : [`${title}: ${verdict}`];
  });
}

test('there is something of every kind', () => {
  assert.equal(new Set(written.map(({ object }) => object.kind)), new Set(Object.keys(KINDS)));
});

test('kubectl applies all of it, finds no difference, and changes nothing when it applies it again', async () => {
  const apply = ['apply', '--validate=false', '-f', file];
  const first = await kubectl(server.plane.kubeconfig, apply);
  assert.is(first.code, 0, first.stderr);
  const before = await live();
  const { code, stdout, stderr } = await kubectl(server.plane.kubeconfig, ['diff', '-f', file]);
  assert.is(stdout, '');
  assert.is(code, 0, stderr);
  await kubectl(server.plane.kubeconfig, apply);
  assert.equal(await live(), before);
});

test('Argo CD says of all that kubectl applied that it is in sync', async () => {
  assert.equal(await outOfSync(), []);
});

test('it is told when there is a difference', async () => {
  const [first] = written;
  const [one] = await live();
  const other = { ...first?.object, metadata: { ...first?.object.metadata, labels: { is: 'another' } } };
  const [verdict] = await verdictsOf([{ desired: other, live: one }]);
  assert.match(verdict ?? '', 'another');
});

test('nothing changes in what Flux applied when it looks for drift by a dry run, and Argo CD agrees', async () => {
  for (const { object } of written) {
    const { namespace, name } = object.metadata;
    await server.unguarded(() => server.client.delete(typeOf(object), { namespace, name }));
  }
  // The API server takes a null for nothing in every request but server-side apply.
  written = written.filter(({ object }) => !JSON.stringify(object).includes(':null'));
  for (const { object } of written) await server.client.apply(typeOf(object), object, FLUX);
  const before = await live();
  for (const [index, { title, object }] of written.entries()) {
    const predicted = await server.client.apply(typeOf(object), object, { ...FLUX, dryRun: true });
    assert.equal(predicted, before[index], title);
  }
  assert.equal(await outOfSync(), []);
});

test.run();
