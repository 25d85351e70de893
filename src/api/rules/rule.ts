import type { Verdict } from '../causes.ts';
import type { KubeObject, ResourceType } from '../meta.ts';

/** Other objects, as somebody's caches hold them. It answers at once and never calls out. */
export interface Lookup {
  /** Whether objects of a type are known at all: only then does an answer of nothing mean that there is none. */
  knows(type: ResourceType): boolean;
  /** An object by its name; cluster-scoped kinds have no namespace. */
  get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): T | undefined;
  /** The objects of one namespace, or of all. */
  list<T extends KubeObject>(type: ResourceType<T>, namespace?: string): readonly T[];
}

/** A lookup that knows nothing: what is said then needs the object alone. */
export const NOTHING_KNOWN: Lookup = {
  knows: () => false,
  get: () => undefined,
  list: () => [],
};

/** An object that its schema may still have something against: anything may be missing. */
export type Draft<T> = T extends readonly (infer Item)[]
  ? readonly Draft<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]?: Draft<T[Key]> | undefined }
    : T;

/** What a rule looks at. Defaults are filled in. */
export interface Subject<T> {
  object: Draft<T>;
  /** The object before the change, on an update. */
  old: Draft<T> | undefined;
  /** Namespace of the object; empty for a cluster-scoped one. */
  namespace: string;
  name: string;
  lookup: Lookup;
  now: Date;
}

/** Judges an object of one kind. It is pure: it neither changes the object nor waits for anything. */
export type Rule<T> = (subject: Subject<T>) => Verdict;

/** A Namespace, as far as its labels choose it. */
export const Namespaces: ResourceType = {
  apiVersion: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};
