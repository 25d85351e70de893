import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { KINDS, type Kind } from '../../src/api/kinds.ts';
import { readYAML } from '../../src/gitops/read/yaml.ts';
import { type Loose, namespace, SAMPLES } from '../api/objects.ts';

/** An object as a case describes it: the good sample of its kind, changed. */
interface Change {
  /** Values by their paths. */
  set?: Record<string, unknown>;
  /** Paths of what is taken away. */
  remove?: string[];
}

interface Written extends Change {
  name: string;
  /** What it was before: the sample with these changes, and with this status. */
  before?: Change & { status?: object };
  delete?: true;
  /** What else there is: samples of a kind, and namespaces with labels. */
  others?: (Change & { kind?: string; namespace?: string; labels?: Record<string, string> })[];
  causes?: string[];
  warnings?: string[];
  /** It cannot even be sent to an API server. */
  offline?: true;
}

/** One request and what is to come of it. */
export interface Case {
  /** kind/file: name. */
  title: string;
  kind: Kind;
  operation: 'create' | 'update' | 'delete';
  /** The object as it is to be; on a deletion, as it is. */
  object: Loose;
  old: Loose | undefined;
  others: Loose[];
  /** `field reason` of every cause, sorted; none when it is to be allowed. */
  causes: string[];
  /** How each warning begins; undefined when they do not matter. */
  warnings: string[] | undefined;
  offline: boolean;
}

/** The time at which cases are judged: schedules and clock changes depend on it. */
export const CASE_TIME = new Date('2026-11-23T12:00:00Z');

/** Every case of test/cases/<kind>/*.yaml. */
export function loadCases(): Case[] {
  return Object.keys(KINDS).flatMap((kind) => {
    const folder = join(import.meta.dirname, kind.toLowerCase());
    return readdirSync(folder).flatMap((file) => {
      const { documents, problems } = readYAML(readFileSync(join(folder, file), 'utf8'));
      if (problems.length > 0 || documents[0] === undefined) throw new Error(`${file}: ${JSON.stringify(problems)}`);
      const written = documents[0].value as unknown as Written[];
      return written.map((one) => caseOf(one, kind as Kind, basename(file, '.yaml')));
    });
  });
}

function caseOf(written: Written, kind: Kind, file: string): Case {
  const { before, others = [], causes = [], warnings } = written;
  const operation = written.delete === true ? 'delete' : before === undefined ? 'create' : 'update';
  const object = changed(kind, written);
  const old = before === undefined ? undefined : changed(kind, before);
  if (before?.status !== undefined) object.status = old.status = before.status;
  return {
    ...{
      title: `${kind}/${file}: ${written.name}`,
      kind,
      operation,
      object,
      old,
      warnings,
      offline: written.offline === true,
    },
    others: others.map((other) =>
      other.kind === undefined ? namespace(other.namespace ?? '', other.labels) : changed(other.kind, other),
    ),
    causes: causes.toSorted(),
  };
}

function changed(kind: string, { set = {}, remove = [] }: Change): Loose {
  const object = SAMPLES[kind]?.();
  for (const [path, value] of Object.entries(set)) at(object, path, (parent, key) => (parent[key] = value));
  for (const path of remove) at(object, path, (parent, key) => delete parent[key]);
  return object;
}

function at(object: Loose, path: string, act: (parent: Loose, key: string | number) => void): void {
  const keys = [...path.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map(([key, index]) =>
    index === undefined ? key : Number(index),
  );
  let parent = object;
  for (const key of keys.slice(0, -1)) parent = parent[key] ??= {};
  act(parent, keys.at(-1) ?? '');
}

/** `field reason` of causes, sorted. */
export function causesOf(causes: readonly { field: string; reason: string }[]): string[] {
  return causes.map(({ field, reason }) => `${field} ${reason.replace('FieldValue', '')}`).toSorted();
}

/** Whether warnings are those that a case wants. */
export function areWarnings(given: readonly string[], wanted: readonly string[] | undefined): boolean {
  if (wanted === undefined) return true;
  return given.length === wanted.length && wanted.every((start) => given.some((warning) => warning.startsWith(start)));
}
