// needs: cluster
// time-limit: 180s
// Every case of this folder before a real API server, whose webhooks are ours: what else there is each case brings with it.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { KINDS } from '../../src/api/kinds.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubeObject, ResourceType } from '../../src/kube/resource.ts';
import { ObjectSet } from '../../src/validate/object-set.ts';
import type { Loose } from '../api/objects.ts';
import { type GuardedServer, startGuardedServer } from './guarded-server.ts';
import { areWarnings, type Case, causesOf, loadCases } from './load.ts';

const test = suite('the cases before a real API server');
let server: GuardedServer;

test.before(async () => {
  server = await startGuardedServer();
});
test.after(async () => {
  await server?.[Symbol.asyncDispose]();
});

for (const one of loadCases().filter(({ offline }) => !offline)) {
  test(one.title, async () => {
    const { causes, warnings } = await answer(one);
    assert.equal(causes, one.causes);
    if (one.operation !== 'delete') assert.ok(areWarnings(warnings, one.warnings), JSON.stringify(warnings));
  });
}

interface Answer {
  causes: string[];
  warnings: string[];
}

/** What the API server answers to the request of a case. Nothing is left behind. */
async function answer({ kind, operation, object, old, others }: Case): Promise<Answer> {
  const type = KINDS[kind] as ResourceType<KubeObject>;
  const { namespace, name } = object.metadata;
  const set = new ObjectSet(true);
  for (const other of others) set.add(other);
  if (operation === 'create') {
    server.lookup = set;
    return await outcome((onWarning) => server.client.create(type, object, { dryRun: true, onWarning }));
  }
  const before = operation === 'delete' ? object : old;
  const live = await store(type, before);
  try {
    server.lookup = set;
    if (operation === 'delete')
      return await outcome(() => server.client.delete(type, { namespace, name }, { dryRun: true }));
    const { resourceVersion, uid } = live.metadata;
    const changed = { ...object, metadata: { ...object.metadata, resourceVersion, uid } };
    return await outcome((onWarning) => server.client.replace(type, changed, { dryRun: true, onWarning }));
  } finally {
    await server.unguarded(() => server.client.delete(type, { namespace, name }));
  }
}

/** Stores an object as it is, whatever our rules say of it. */
async function store(type: ResourceType<KubeObject>, object: Loose): Promise<KubeObject> {
  const { status, ...rest } = object;
  return await server.unguarded(async () => {
    const live = await server.client.create(type, rest);
    if (status === undefined) return live;
    return await server.client.replace(type, { ...live, status } as KubeObject, { subresource: 'status' });
  });
}

/** Warnings of our own; the answer to a deletion does not carry them to this client. */
async function outcome(call: (onWarning: (text: string) => void) => Promise<unknown>): Promise<Answer> {
  const warnings: string[] = [];
  try {
    await call((text) => {
      if (!text.startsWith('unknown field')) warnings.push(text);
    });
    return { causes: [], warnings };
  } catch (error) {
    if (!(error instanceof KubeError) || error.causes.length === 0) throw error;
    // Where its own schema fails, the API server adds that it did not come to its CEL rules.
    return { causes: causesOf(error.causes.filter(({ field }) => field !== '<nil>')), warnings };
  }
}

test.run();
