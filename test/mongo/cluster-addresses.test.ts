import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BackstayError } from '../../src/api/errors.ts';
import { addressesOf, parseAddress } from '../../src/mongo/cluster/topology.ts';
import type { ClusterAddresses } from '../../src/mongo/connection.ts';

const test = suite('the addresses of a cluster');

const SHARDS = [
  { _id: 'two', host: 'rs2/c:1,d:1' },
  { _id: 'one', host: 'rs1/a:1,b:1' },
];

function addresses(given?: ClusterAddresses, configServer: string | undefined = 'cfg/x:1'): Record<string, string> {
  const { configServer: own, shards } = addressesOf(configServer, SHARDS, given);
  const text = ({ set, hosts }: { set: string; hosts: string }): string => `${set}/${hosts}`;
  return { config: text(own), ...Object.fromEntries([...shards].map(([name, address]) => [name, text(address)])) };
}

test('without a word they are the ones that the cluster says, in the order of the names', () => {
  assert.equal(addresses(), { config: 'cfg/x:1', one: 'rs1/a:1,b:1', two: 'rs2/c:1,d:1' });
  assert.equal(Object.keys(addresses()), ['config', 'one', 'two']);
});

for (const [how, replicaSets] of [
  ['the name of the shard', { one: 'rs1/n:1' }],
  ['the name of its replica set, under any key', { 'host-0': 'rs1/n:1' }],
] as const) {
  test(`an address is found by ${how}`, () => {
    assert.equal(addresses({ replicaSets }), { config: 'cfg/x:1', one: 'rs1/n:1', two: 'rs2/c:1,d:1' });
  });
}

test('the config server is where it is said to be', () => {
  assert.is(addresses({ configServer: 'cfg/y:1' }).config, 'cfg/y:1');
});

for (const [what, run, code, words] of [
  ['no address of the config server', () => addressesOf(undefined, SHARDS), 'ClusterIncomplete', /config server/],
  ['a shard that is none', () => addresses({ replicaSets: { three: 'rs3/e:1' } }), 'ClusterIncomplete', /three/],
  ['an address without a name', () => addresses({ replicaSets: { one: 'a:1' } }), 'ClusterIncomplete', /shard one/],
  ['a cluster without shards', () => addressesOf('cfg/x:1', []), 'ClusterIncomplete', /no shard/],
  [
    'a config server that is a shard',
    () => addressesOf('cfg/x:1', [{ _id: 'config', host: 'cfg/x:1' }]),
    'UnsupportedTopology',
    /also shard config/,
  ],
] as const) {
  test(`refused is ${what}`, () => {
    assert.throws(run, (error: unknown) => {
      assert.instance(error, BackstayError);
      const { code: its, message, remedy } = error as BackstayError;
      assert.is(its, code);
      assert.match(message, words);
      assert.ok(remedy !== undefined);
      return true;
    });
  });
}

test('an address is the name of a replica set and its hosts', () => {
  assert.equal(parseAddress('rs0/a:1,b:1'), { set: 'rs0', hosts: 'a:1,b:1' });
  for (const wrong of ['', 'a:1', 'rs0/', '/a:1', 'a:1,b:1/c']) assert.is(parseAddress(wrong), undefined);
});

test.run();
