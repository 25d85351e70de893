import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import { readFiles } from '../../src/validate/files.ts';
import { validateFiles } from '../../src/validate/validate.ts';
import { configuration, type Loose, namespace, policyRule, repository, storage } from '../api/objects.ts';
import { backstay } from './backstay.ts';

const test = suite('backstay validate');
const root = join(import.meta.dirname, '../..');
let folder: string;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'backstay-validate-'));
  await mkdir(join(folder, 'good/.hidden'), { recursive: true });
  await mkdir(join(folder, 'bad'));
  await writeFile(join(folder, 'good/storage.yaml'), stringify(storage()));
  await writeFile(join(folder, 'good/notes.txt'), 'not: [yaml');
  await writeFile(join(folder, 'good/.hidden/x.yaml'), 'not: [yaml');
  await writeFile(
    join(folder, 'good/kustomization.yaml'),
    'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n',
  );
  await writeFile(join(folder, 'bad/cron.yaml'), WRONG);
});
test.after(async () => {
  await rm(folder, { recursive: true });
});

const WRONG = `# two objects
${stringify(storage()).trimEnd()}
---
apiVersion: backstay.dev/v1alpha1
kind: BackupConfiguration
metadata: {name: orders, namespace: shop}
spec:
  target: {name: orders}
  backends:
    - name: s3
      storageRef: {name: s3}
  sessions:
    - name: nightly
      scheduler:
        schedule: "0 3 * * 7"
      addon: {name: mongodb, tasks: [{name: logical-backup}]}
      repositories:
        - {name: orders, backend: s4, directory: orders, encryptionSecret: {name: restic}}
`;
const LINE = WRONG.split('\n').findIndex((line) => line.includes('0 3 * * 7')) + 1;

test('a folder is read as PolicySync reads it, and what is not of Backstay is left alone', async () => {
  const { code, stdout, stderr } = await backstay(['validate', join(folder, 'good')]);
  assert.is(stdout.toString(), '1 object in 2 files: ok, 1 object of other kinds left alone\n');
  assert.is(code, 0, stderr);
});

test('everything that is wrong has its line and column, and the exit code is 1', async () => {
  const { code, stdout } = await backstay(['validate', join(folder, 'bad')]);
  const file = join(folder, 'bad/cron.yaml');
  const lines = stdout.toString().split('\n');
  assert.ok(
    lines.some((line) =>
      line.startsWith(`${file}:${LINE}:9: error: spec.sessions[0].scheduler.schedule: day of the week`),
    ),
    stdout.toString(),
  );
  assert.match(stdout.toString(), 'there is no backend s4 in spec.backends; it has s3; did you mean s3?');
  assert.match(stdout.toString(), '2 objects in 1 file: 2 errors, 0 warnings');
  assert.is(code, 1);
});

test('files, patterns and standard input are taken, each file once', async () => {
  const { stdout } = await backstay(
    ['validate', join(folder, 'good/*.yaml'), join(folder, 'good/storage.yaml'), '-', '-n', 'shop'],
    { input: Buffer.from(stringify(repository({ path: '../x' }))) },
  );
  assert.match(stdout.toString(), /(^|\n)\(stdin\):7:3: error: spec.path: /);
  assert.match(stdout.toString(), '2 objects in 3 files: 1 error, 0 warnings');
});

test('a path that names nothing is a usage error', async () => {
  for (const path of ['no/such/file.yaml', 'no/*/pattern.yaml']) {
    const { code, stderr } = await backstay(['validate', path]);
    assert.is(code, 2);
    assert.match(stderr, `${path} names no file`);
  }
});

test('JSON, SARIF and annotations say the same', async () => {
  const report = async (output: string) =>
    (await backstay(['validate', '--output', output, join(folder, 'bad')])).stdout.toString();
  const { findings } = JSON.parse(await report('json'));
  assert.is(findings.length, 2);
  const cron = findings.find(({ field }: Loose) => field === 'spec.sessions[0].scheduler.schedule');
  assert.equal([cron.line, cron.column, cron.object], [LINE, 9, 'BackupConfiguration/shop/orders']);
  const sarif = JSON.parse(await report('sarif'));
  assert.is(sarif.version, '2.1.0');
  const regions = sarif.runs[0].results.map(({ locations }: Loose) => locations[0].physicalLocation.region.startLine);
  assert.ok(regions.includes(LINE));
  const annotations = await report('github');
  assert.match(
    annotations,
    `::error file=${join(folder, 'bad/cron.yaml')},line=${LINE},col=9,title=BackupConfiguration/shop/orders::spec`,
  );
  assert.is(annotations.trimEnd().split('\n').length, 2);
});

test('a reference into nothing is a warning once the files are all there is, and fails only when asked to', async () => {
  const path = join(folder, 'lonely.yaml');
  await writeFile(path, stringify(repository()));
  assert.match((await backstay(['validate', path])).stdout.toString(), ': ok');
  const complete = await backstay(['validate', '--complete', path]);
  assert.match(complete.stdout.toString(), 'warning: spec.storageRef: BackupStorage shop/s3 does not exist yet');
  assert.is(complete.code, 0);
  assert.is((await backstay(['validate', '--complete', '--strict', path])).code, 1);
});

test('with the files before the change, what may not change and what may not go is refused', async () => {
  const [before, after] = [join(folder, 'before.yaml'), join(folder, 'after.yaml')];
  await writeFile(before, [storage(), repository()].map((one) => stringify(one)).join('---\n'));
  await writeFile(after, stringify(repository({ path: 'elsewhere' })));
  const { stdout, code } = await backstay(['validate', '--before', before, after]);
  assert.match(stdout.toString(), 'path of a repository cannot be changed');
  assert.match(stdout.toString(), 'BackupStorage shop/s3 is in use by Repository shop/orders');
  assert.is(code, 1);
});

test('what cannot be read and an object that is there twice are findings, not failures', async () => {
  const path = join(folder, 'broken.yaml');
  await writeFile(path, `a: [b\n---\n- x\n---\n${stringify(storage())}---\n${stringify(storage())}`);
  const { stdout, code } = await backstay(['validate', '-o', 'json', path]);
  const { findings } = JSON.parse(stdout.toString());
  assert.equal(
    findings.map(({ reason }: Loose) => reason),
    ['InvalidYAML', 'InvalidYAML', 'FieldValueDuplicate'],
  );
  assert.match(findings[2].message, `the same object stands at ${path}:5 too`);
  assert.is(code, 1);
});

test('rules may lie elsewhere: they judge the set, and are judged themselves', async () => {
  const rules = join(folder, 'rules.yaml');
  const wanted = {
    match: { namespaceSelector: { matchLabels: { env: 'production' } } },
    demands: { providers: ['gcs'] },
  };
  await writeFile(rules, stringify(policyRule(wanted)));
  const unsure = await backstay(['validate', '--rules', rules, '--', join(folder, 'good')]);
  assert.match(unsure.stdout.toString(), 'warning: BackupPolicyRule house may refuse it: labels of its namespace');
  assert.is(unsure.code, 0);

  await writeFile(
    rules,
    [policyRule(wanted), namespace('shop', { env: 'production' })].map((one) => stringify(one)).join('---\n'),
  );
  const sure = await backstay(['validate', '--output', 'json', join(folder, 'good'), '--rules', rules]);
  const [only, ...more] = JSON.parse(sure.stdout.toString()).findings;
  assert.equal(more, []);
  assert.is(only.field, 'spec.storage.provider');
  assert.is(only.message, 'BackupPolicyRule house allows the providers gcs, not: s3');
  assert.is(sure.code, 1);

  await writeFile(rules, stringify(policyRule({ demands: { maxInterval: 'daily' } })));
  const wrong = await backstay(['validate', join(folder, 'good'), '--rules', rules]);
  assert.match(wrong.stdout.toString(), /rules.yaml:7:\d+: error: .*duration/);
  assert.is(wrong.code, 1);
});

test('every YAML of this repository that has objects passes: policies, and the examples of the documents', async () => {
  const { code, stdout } = await backstay(['validate', join(root, 'policies')]);
  assert.is(code, 0, stdout.toString());
  const documents = [
    'README.md',
    'policies/example/README.md',
    ...(await readdir(join(root, 'docs'))).map((name) => `docs/${name}`),
  ];
  const files = [];
  for (const name of documents.filter((one) => one.endsWith('.md'))) {
    const text = await readFile(join(root, name), 'utf8');
    // Blank lines in front keep the numbers of the lines.
    for (const { 1: yaml = '', index } of text.matchAll(/^```ya?ml\n(.*?)^```/gms)) {
      const lines = text.slice(0, index).split('\n').length;
      files.push({ path: name, content: Buffer.from('\n'.repeat(lines) + yaml) });
    }
  }
  assert.ok(files.length > 0);
  const { findings } = validateFiles(files, { namespace: 'default', complete: false, now: new Date() });
  assert.equal(
    findings.filter(({ level }) => level === 'error'),
    [],
  );
});

test('1,000 files are judged in one go, and cost no more each than 250 do', async () => {
  const many = join(folder, 'many');
  await mkdir(many);
  for (let index = 0; index < 1000; index++) {
    const object = configuration({}, `orders-${index}`);
    Object.assign(object.spec.sessions[0].repositories[0], { name: `orders-${index}`, directory: `orders/${index}` });
    await writeFile(join(many, `${index}.yaml`), stringify(object));
  }
  const files = await readFiles([many], process.stdin);
  const judge = (count: number) => {
    const before = process.cpuUsage();
    const report = validateFiles(files.slice(0, count), { namespace: 'default', complete: true, now: new Date() });
    const { user, system } = process.cpuUsage(before);
    return { report, cost: user + system };
  };
  const few = judge(250);
  const { report, cost } = judge(1000);
  // Four times as much, not sixteen times, whatever the machine: all look each other up.
  assert.ok(cost < 8 * few.cost, `${cost / few.cost} times`);
  assert.is(report.objects, 1000);
  assert.equal(
    report.findings.filter(({ level }) => level === 'error'),
    [],
  );
});

test.run();
