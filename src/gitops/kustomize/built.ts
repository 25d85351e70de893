import { posix } from 'node:path';
import { isRecord } from '../../api/json.ts';
import type { KubeObject } from '../../api/meta.ts';
import { type Failure, readObjects, type SourceObject } from '../read/objects.ts';
import { readYAML } from '../read/yaml.ts';
import { isSecret } from '../sops/admit.ts';

/** What kustomize made of a commit. */
export interface Built {
  /** Path of the kustomization from the repository's root. */
  start: string;
  output: string;
  /** Contents by path from the repository's root. */
  files: ReadonlyMap<string, Buffer>;
}

const ORIGIN = 'config.kubernetes.io/origin';

/** The objects of a build, each with the place in the repository that it comes from. */
export function readBuilt({ start, output, files }: Built): { objects: SourceObject[]; failures: Failure[] } {
  const { objects, failures } = readObjects({ path: start, content: Buffer.from(output) });
  const read = new Map<string, SourceObject[]>();
  const objectsIn = (path: string): SourceObject[] => {
    const content = files.get(path);
    const known = read.get(path) ?? (content === undefined ? [] : readObjects({ path, content }).objects);
    read.set(path, known);
    return known;
  };
  const placed = objects.map(({ object }): SourceObject => {
    const { object: plain, origin } = withoutOrigin(object);
    const file = origin === undefined ? start : posix.join(posix.dirname(start), origin);
    const twin = twinOf(plain, objectsIn(file));
    const source = twin?.source ?? atBeginning(files.has(file) ? file : start);
    if (!isSecret(plain)) return { object: plain, source };
    return {
      object: plain,
      source,
      written: { own: twin?.object ?? plain, file: objectsIn(file).map((one) => one.object) },
    };
  });
  return { objects: placed, failures: failures.map(({ line: _, ...failure }) => ({ ...failure, line: 1 })) };
}

/** The object as it was written: of the same kind, and with the name before kustomize added to it. */
function twinOf({ kind, metadata }: KubeObject, written: readonly SourceObject[]): SourceObject | undefined {
  const alike = written.filter(({ object }) => object.kind === kind);
  const named = alike.filter(({ object }) => (metadata.name ?? '').includes(object.metadata.name ?? ''));
  // Of two that fit, the longer name is the one that is in it by more than chance.
  return named.sort((a, b) => (b.object.metadata.name ?? '').length - (a.object.metadata.name ?? '').length)[0];
}

function withoutOrigin(object: KubeObject): { object: KubeObject; origin: string | undefined } {
  const written = object.metadata.annotations?.[ORIGIN];
  if (written === undefined) return { object, origin: undefined };
  const { [ORIGIN]: _, ...annotations } = object.metadata.annotations ?? {};
  const { annotations: __, ...metadata } = object.metadata;
  const kept = Object.keys(annotations).length === 0 ? {} : { annotations };
  const [document] = readYAML(written).documents;
  const path = isRecord(document?.value) ? document.value.path : undefined;
  return {
    object: { ...object, metadata: { ...metadata, ...kept } },
    origin: typeof path === 'string' ? path : undefined,
  };
}

function atBeginning(file: string): SourceObject['source'] {
  return { file, line: 1, locate: () => ({ line: 1, column: 1 }) };
}
