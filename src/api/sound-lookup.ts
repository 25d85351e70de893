import { API_VERSION } from './group.ts';
import { isKind, type Kind } from './kinds.ts';
import type { KubeObject, ResourceType } from './meta.ts';
import type { Lookup } from './rules/rule.ts';
import { validateSchema } from './validation.ts';

// Objects of caches and files are looked at by many reviews, and by each of them only once.
const judged = new WeakMap<KubeObject, KubeObject | false>();

/**
 * A lookup whose objects of Backstay are what their types say, defaults filled in: objects of a file may be anything, and those of a
 * cluster may be older than their schema. What its schema refuses is as if it were not there.
 */
export function soundLookup(lookup: Lookup): Lookup {
  return {
    knows: (type) => lookup.knows(type),
    get: (type, namespace, name) => {
      const found = lookup.get(type, namespace, name);
      return found === undefined ? undefined : sound(type, found);
    },
    list: (type, namespace) => lookup.list(type, namespace).flatMap((found) => sound(type, found) ?? []),
  };
}

function sound<T extends KubeObject>(type: ResourceType<T>, found: T): T | undefined {
  if (type.apiVersion !== API_VERSION || !isKind(type.kind)) return found;
  let known = judged.get(found);
  if (known === undefined) {
    known = judge(type.kind, found);
    judged.set(found, known);
  }
  return known === false ? undefined : (known as T);
}

function judge(kind: Kind, found: KubeObject): KubeObject | false {
  const { causes, object } = validateSchema(kind, found);
  const fits = causes.every(({ message }) => message.startsWith('unknown field'));
  return fits ? (object as KubeObject) : false;
}
