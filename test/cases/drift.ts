import { readFileSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { join } from 'node:path';
import { KINDS, type Kind } from '../../src/api/kinds.ts';
import { review } from '../../src/api/review.ts';
import { readYAML } from '../../src/gitops/read/yaml.ts';
import { ObjectSet } from '../../src/validate/object-set.ts';
import type { Loose } from '../api/objects.ts';
import { CASE_TIME, loadCases } from './load.ts';

const NOTHING = new ObjectSet(true);
const ROOT = join(import.meta.dirname, '../..');

/** What somebody may have in git: every case that is to be allowed, and every object in policies/, docs/ and README.md. Each is told apart
 * by a namespace of its own, or by its name where there is no namespace. */
export async function writtenObjects(): Promise<{ title: string; object: Loose }[]> {
  const cases = loadCases()
    .filter(({ operation, causes, offline }) => operation !== 'delete' && causes.length === 0 && !offline)
    // What was wrong before may stay as it is, but is not to be written anew.
    .filter(
      ({ kind, object }) =>
        review(kind, object, { lookup: NOTHING, namespace: object.metadata.namespace, now: CASE_TIME }).causes
          .length === 0,
    )
    .map(({ title, object }) => ({ title, object }));
  return [...cases, ...(await examples())].map(({ title, object }, index) => {
    const { status: _, ...rest } = object;
    const place = KINDS[object.kind as Kind].namespaced
      ? { name: object.metadata.name, namespace: `case-${index}` }
      : { name: `${object.metadata.name}-${index}` };
    return { title, object: { ...rest, metadata: { ...object.metadata, ...place } } };
  });
}

async function examples(): Promise<{ title: string; object: Loose }[]> {
  const found: { title: string; object: Loose }[] = [];
  for await (const path of glob(['README.md', 'docs/**/*.md', 'policies/**/*.{md,yaml}'], { cwd: ROOT })) {
    const text = readFileSync(join(ROOT, path), 'utf8');
    const sources = path.endsWith('.md')
      ? [...text.matchAll(/^```ya?ml\n(.*?)^```/gms)].map(([, yaml = '']) => yaml)
      : [text];
    for (const { value } of sources.flatMap((yaml) => readYAML(yaml).documents)) {
      const object = value as Loose;
      if (object?.apiVersion?.startsWith('backstay.dev/')) {
        found.push({ title: `${path}: ${object.kind}/${object.metadata.name}`, object });
      }
    }
  }
  return found;
}
