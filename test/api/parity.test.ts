import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { toAjv } from '../../scripts/generate/validators.ts';
import type { Schema } from '../../src/api/schema.ts';
import { checkStructure, pruned } from '../../src/api/structure.ts';

// Values and whether apiextensions took them, recorded from its own code. ajv alone would judge seven of them otherwise.
const golden: { properties: Record<string, Schema>; cases: { name: string; value: object; accepted: boolean }[] } =
  JSON.parse(readFileSync(join(import.meta.dirname, 'golden/schema-cases.json'), 'utf8'));
const schema: Schema = { type: 'object', properties: golden.properties };
const validate = new Ajv2020({ strict: true, allErrors: true }).compile(toAjv(schema));

const test = suite('parity with the API server');

for (const { name, value, accepted } of golden.cases) {
  test(`${name}: ${JSON.stringify(value)} is ${accepted ? 'accepted' : 'refused'}`, () => {
    const looked = pruned(schema, value);
    assert.is(validate(looked) && checkStructure(schema, looked, '').length === 0, accepted);
  });
}

test.run();
