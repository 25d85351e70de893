import { readFile } from 'node:fs/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backstay } from './backstay.ts';

const test = suite('backstay');

test('--help lists the commands', async () => {
  const { code, stdout, stderr } = await backstay(['--help']);
  assert.is(code, 0);
  assert.match(stdout.toString(), /dump +write a database.*\n +load +load an archive/);
  assert.is(stderr, '');
});

test('--version says the version of the package', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.is((await backstay(['--version'])).stdout.toString(), `${version}\n`);
});

test('help of a command shows its options and an example', async () => {
  for (const args of [
    ['dump', '--help'],
    ['help', 'dump'],
  ]) {
    const { code, stdout } = await backstay(args);
    assert.is(code, 0);
    assert.match(stdout.toString(), /--consistency <mode>/);
    assert.match(stdout.toString(), /Examples:/);
    assert.match(stdout.toString(), /MONGODB_URI/);
  }
});

test('nothing at all is a usage error with the help', async () => {
  const { code, stderr } = await backstay([]);
  assert.is(code, 2);
  assert.match(stderr, /Usage: backstay/);
});

for (const [args, message] of [
  [['dumb'], /unknown command 'dumb'/],
  [['dump', '--no-such'], /unknown option '--no-such'/],
  [['dump'], /no connection string; give --uri or set MONGODB_URI/],
  [['dump', '--uri', 'mongodb://h/', '--consistency', 'some'], /Allowed choices are lock, snapshot, none/],
  [['dump', '--uri', 'mongodb://h/', '--max-lag', 'long'], /number of seconds/],
  [['dump', '--uri', 'postgres://u:swordfish@h/'], /does not begin with mongodb:\/\//],
  [['dump', '--uri', 'mongodb://u@h/'], /no password for user u; set MONGODB_PASSWORD or give --password-file/],
  [
    ['dump', '--uri', 'mongodb://u@h/', '--password-file', '/no/such/file'],
    /\/no\/such\/file cannot be read \(ENOENT\)/,
  ],
  [['load', '--uri', 'mongodb://h/', '--drop', '--merge'], /cannot be used with/],
  [['load', '--uri', 'mongodb://h/', '--rename', 'a.b'], /two namespaces with = between them/],
  [['load', '--uri', 'mongodb://h/', '--workers', '0'], /number from 1 to 64/],
  [['--log-level', 'loud', 'dump'], /Allowed choices are debug, info/],
] as const) {
  test(`"backstay ${args.join(' ')}" is a usage error in one line`, async () => {
    const { code, stdout, stderr } = await backstay(args);
    assert.is(code, 2, stderr);
    assert.match(stderr, message);
    assert.is(stdout.length, 0);
    assert.not.match(stderr, /\n +at |swordfish/);
  });
}

test('a server that is not there is a failure in one line', async () => {
  const { code, stderr } = await backstay([
    'dump',
    '--uri',
    'mongodb://u:swordfish@127.0.0.1:1/?serverSelectionTimeoutMS=500',
    '--log-level',
    'error',
  ]);
  assert.is(code, 1);
  assert.match(stderr, /^backstay: 127\.0\.0\.1:1 cannot be reached: .*; check host and port.*\n$/);
  assert.not.match(stderr, /swordfish/);
});

test('help loads neither the driver nor the Kubernetes client', async () => {
  const source = await readFile(new URL('../../src/cli/main.ts', import.meta.url), 'utf8');
  const eager = [...source.matchAll(/^import .* from '(.*)';$/gm)].map(([, name]) => name);
  assert.equal(eager, ['commander', '../api/errors.ts', '../runner/version.ts']);
});

test.run();
