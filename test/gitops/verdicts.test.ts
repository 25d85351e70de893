// What was said about an object is said again only while everything that it depended on is the same.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { review } from '../../src/api/review.ts';
import { type DesiredOptions, desiredObjects } from '../../src/gitops/desired.ts';
import { readObjects } from '../../src/gitops/read/objects.ts';
import { Verdicts } from '../../src/gitops/verdicts.ts';

const test = suite('verdicts');

const storage = (name: string, prefix: string): string =>
  `apiVersion: backstay.dev/v1alpha1\nkind: BackupStorage\nmetadata: {name: ${name}}\nspec:\n  storage: {provider: s3, s3: {bucket: b, endpoint: 'https://s3.example.com', prefix: ${prefix}}}\n`;
const retention = (name: string, last: number): string =>
  `apiVersion: backstay.dev/v1alpha1\nkind: RetentionPolicy\nmetadata: {name: ${name}}\nspec: {successfulSnapshots: {last: ${last}}}\n`;

function judging(): (...files: string[]) => { judged: string[]; wrong: string[] } {
  const verdicts = new Verdicts();
  return (...files) => {
    const judged: string[] = [];
    const validate: DesiredOptions['validate'] = (kind, object, lookup) => {
      judged.push(object.metadata.name ?? '');
      return review(kind, object, { lookup }).causes;
    };
    const sources = files.flatMap(
      (text, index) => readObjects({ path: `${index}.yaml`, content: Buffer.from(text) }).objects,
    );
    const { failures } = desiredObjects(sources, { mark: 'm', namespace: 'shop', validate, verdicts });
    return { judged: judged.sort(), wrong: failures.map(({ object = '' }) => object.split('/').at(-1) ?? '').sort() };
  };
}

test('an unchanged commit is not judged again, and of a changed one what changed is', () => {
  const judge = judging();
  assert.equal(judge(retention('a', 1), retention('b', 2)).judged, ['a', 'b']);
  assert.equal(judge(retention('a', 1), retention('b', 2)).judged, []);
  assert.equal(judge(retention('a', 1), retention('b', 3)).judged, ['b']);
});

test('an object is judged again when one that it was compared with changes, comes or goes', () => {
  const judge = judging();
  assert.equal(judge(storage('a', 'one'), storage('b', 'two')).wrong, []);
  const meeting = judge(storage('a', 'one'), storage('b', 'one'));
  assert.equal(meeting, { judged: ['a', 'b'], wrong: ['a', 'b'] });
  assert.equal(judge(storage('a', 'one'), storage('b', 'one')), { judged: [], wrong: ['a', 'b'] });
  assert.equal(judge(storage('a', 'one')), { judged: ['a'], wrong: [] });
  assert.equal(judge(storage('a', 'one'), storage('c', 'one')).wrong, ['a', 'c']);
});

test.run();
