// Every case of this folder, judged by the rules alone and by `backstay validate`.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultBackends } from '../../src/api/backends.ts';
import type { Verdict } from '../../src/api/causes.ts';
import { applyDefaults, missingDefaults } from '../../src/api/defaults.ts';
import { review } from '../../src/api/review.ts';
import { judgeDeletion } from '../../src/api/rules/deletion.ts';
import type { InputFile } from '../../src/validate/files.ts';
import { ObjectSet } from '../../src/validate/object-set.ts';
import { validateFiles } from '../../src/validate/validate.ts';
import type { Loose } from '../api/objects.ts';
import { areWarnings, CASE_TIME, type Case, causesOf, loadCases } from './load.ts';

const test = suite('the cases');
const cases = loadCases();

test('there are at least 200, each with a title of its own', () => {
  assert.ok(cases.length >= 200, String(cases.length));
  assert.is(new Set(cases.map(({ title }) => title)).size, cases.length);
});

for (const one of cases) {
  test(one.title, () => {
    const byRules = judge(one);
    assert.equal(causesOf(byRules.causes), one.causes, JSON.stringify(byRules.causes));
    assert.ok(areWarnings(byRules.warnings, one.warnings), JSON.stringify(byRules.warnings));
    for (const warning of byRules.warnings) assert.ok(warning.length < 120, warning);

    const byFiles = validate(one);
    assert.equal(causesOf(byFiles.causes), one.causes, JSON.stringify(byFiles.causes));
    assert.ok(areWarnings(byFiles.warnings, one.warnings), JSON.stringify(byFiles.warnings));
  });
}

test('defaults are filled in once, and nothing that is written changes', () => {
  for (const { title, kind, object } of cases) {
    const filled = applyDefaults(kind, object);
    assert.is(applyDefaults(kind, filled), filled, title);
    assert.equal(missingDefaults(kind, filled), [], title);
    assert.ok(holds(filled, object), title);
  }
});

/** Whether everything of `part` is in `whole`, lists with the same items in the same order; a null may have become a default. */
function holds(whole: unknown, part: unknown): boolean {
  if (part === null) return true;
  if (Array.isArray(part)) {
    return (
      Array.isArray(whole) && whole.length === part.length && part.every((item, index) => holds(whole[index], item))
    );
  }
  if (typeof part !== 'object') return whole === part;
  if (typeof whole !== 'object' || whole === null) return false;
  const keys = Object.keys(part);
  const kept = Object.keys(whole).filter((key) => Object.hasOwn(part, key));
  return (
    JSON.stringify(kept) === JSON.stringify(keys) &&
    keys.every((key) => holds((whole as Loose)[key], (part as Loose)[key]))
  );
}

function judge({ kind, operation, object, old, others }: Case): Verdict {
  const lookup = new ObjectSet(true);
  for (const other of others) lookup.add(other);
  const namespace = object.metadata.namespace ?? '';
  if (operation === 'delete') return judgeDeletion({ kind, object, namespace, lookup });
  // What the mutating webhook does before the rules look.
  const backends = kind === 'BackupConfiguration' ? defaultBackends(object, namespace, lookup) : undefined;
  const filled = backends === undefined ? object : { ...object, spec: { ...object.spec, backends } };
  return review(kind, filled, { old, lookup, namespace, now: CASE_TIME });
}

function validate({ operation, object, old, others }: Case): Verdict {
  const file = (path: string, one: Loose): InputFile => ({ path, content: Buffer.from(JSON.stringify(one)) });
  const around = others.map((other, index) => file(`other-${index}.yaml`, other));
  const before = operation === 'delete' ? object : old;
  const { findings } = validateFiles(operation === 'delete' ? around : [file('object.yaml', object), ...around], {
    ...{ namespace: 'shop', complete: true, now: CASE_TIME },
    before: before === undefined ? undefined : [file('object.yaml', before), ...around],
  });
  const mine = findings.filter((finding) => finding.file === 'object.yaml');
  return {
    causes: mine
      .filter(({ level }) => level === 'error')
      .map(({ field = '', reason, message }) => ({ field, reason: reason as 'FieldValueInvalid', message })),
    warnings: mine.filter(({ level }) => level === 'warning').map(({ message }) => message),
  };
}

test.run();
