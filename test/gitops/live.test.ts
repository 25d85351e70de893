// How the state of the cluster is read: few requests, whatever the number of objects.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { API_VERSION } from '../../src/api/group.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { liveFrom, liveFromCaches } from '../../src/gitops/live.ts';
import { objectID, parseObjectID } from '../../src/gitops/object-id.ts';
import type { Cache } from '../../src/kube/cache.ts';
import type { Client } from '../../src/kube/client.ts';

const test = suite('live');
const object = (kind: string, namespace: string | undefined, name: string): KubeObject => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
});

function server(
  objects: KubeObject[],
  unmarked: KubeObject[] = [],
): { client: Pick<Client, 'get' | 'listAll'>; requests: string[] } {
  const requests: string[] = [];
  const of = (all: KubeObject[], kind: string, namespace: string | undefined): KubeObject[] =>
    all.filter((one) => one.kind === kind && one.metadata.namespace === namespace);
  const client = {
    get: async (type: { kind: string }, { namespace, name }: { namespace?: string; name: string }) => {
      requests.push(`get ${type.kind} ${name}`);
      return of([...objects, ...unmarked], type.kind, namespace).find((one) => one.metadata.name === name);
    },
    listAll: async (
      type: { kind: string },
      { namespace, labelSelector }: { namespace?: string; labelSelector?: string },
    ) => {
      requests.push(`list ${type.kind} ${namespace ?? ''} ${labelSelector ?? ''}`);
      return of(objects, type.kind, namespace);
    },
  };
  return { client: client as unknown as Pick<Client, 'get' | 'listAll'>, requests };
}

test('a hundred objects of one kind and namespace are one request', async () => {
  const objects = Array.from({ length: 100 }, (_, index) => object('RetentionPolicy', 'shop', `r${index}`));
  const { client, requests } = server(objects);
  const found = await liveFrom(client)(objects.map(objectID), 'shop.policies', AbortSignal.timeout(5000));
  assert.is(found.size, 100);
  assert.equal(requests, ['list RetentionPolicy shop backstay.dev/policysync=shop.policies']);
});

test('what does not carry the mark is asked for by name, and what is not there is left out', async () => {
  const marked = Array.from({ length: 5 }, (_, index) => object('RetentionPolicy', 'shop', `r${index}`));
  const foreign = object('RetentionPolicy', 'shop', 'foreign');
  const { client, requests } = server(marked, [foreign]);
  const ids = [...marked, foreign, object('RetentionPolicy', 'shop', 'none'), object('Addon', undefined, 'a')].map(
    objectID,
  );
  const found = await liveFrom(client)(ids, 'm', AbortSignal.timeout(5000));
  assert.equal([...found.keys()].sort(), [...marked, foreign].map(objectID).sort());
  assert.equal(requests.slice(1).sort(), ['get Addon a', 'get RetentionPolicy foreign', 'get RetentionPolicy none']);
});

test('a large new commit lists its kind instead of asking for each object', async () => {
  const unmarked = Array.from({ length: 50 }, (_, index) => object('RetentionPolicy', 'shop', `r${index}`));
  const { client, requests } = server([], unmarked);
  await liveFrom(client)(unmarked.map(objectID), 'm', AbortSignal.timeout(5000));
  assert.equal(requests, ['list RetentionPolicy shop backstay.dev/policysync=m', 'list RetentionPolicy shop ']);
});

test('a cache answers for what it has; that something is gone, or of a kind of others, is asked of the server', async () => {
  const [there, gone] = ['there', 'gone'].map((name) => object('AppBinding', 'shop', name)) as [KubeObject, KubeObject];
  const cache = (apiVersion: string, hasSynced: boolean): Cache<KubeObject> =>
    ({
      type: { apiVersion, kind: 'AppBinding' },
      hasSynced,
      getByKey: (key: string) => (key === 'shop/there' ? there : undefined),
    }) as unknown as Cache<KubeObject>;
  const asked = async (...caches: Cache<KubeObject>[]): Promise<string[]> => {
    const { client, requests } = server([there]);
    const found = await liveFromCaches(caches, liveFrom(client))(
      [there, gone].map(objectID),
      'm',
      AbortSignal.timeout(5000),
    );
    assert.equal([...found.keys()], [objectID(there)]);
    return requests;
  };
  assert.equal(await asked(cache(API_VERSION, true)), ['get AppBinding gone']);
  assert.equal(await asked(cache(API_VERSION, true), cache('appcatalog.appscode.com/v1alpha1', true)), [
    'get AppBinding gone',
  ]);
  assert.is((await asked(cache(API_VERSION, false))).length, 2);
});

test('an id is read back as what it was made of, and nothing else is an id', () => {
  const ids = [object('RetentionPolicy', 'shop', 'a.b'), object('Addon', undefined, 'a')].map(objectID);
  assert.equal(
    ids.map((id) => {
      const parsed = parseObjectID(id);
      return [parsed?.type.kind, parsed?.namespace, parsed?.name];
    }),
    [
      ['RetentionPolicy', 'shop', 'a.b'],
      ['Addon', undefined, 'a'],
    ],
  );
  for (const id of [
    '',
    'a_b_apps_Deployment',
    'a_b_backstay.dev_Nothing',
    'a_b_backstay.dev_Addon_x',
    'a__backstay.dev_Addon',
    'a_b_backstay.dev_constructor',
  ]) {
    assert.is(parseObjectID(id), undefined, id);
  }
});

test.run();
