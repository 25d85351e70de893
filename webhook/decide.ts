import { defaultBackends } from '../src/api/backends.ts';
import { missingDefaults } from '../src/api/defaults.ts';
import type { BackupConfiguration } from '../src/api/generated/types.ts';
import { isRecord } from '../src/api/json.ts';
import type { Kind } from '../src/api/kinds.ts';
import { review } from '../src/api/review.ts';
import { judgeDeletion } from '../src/api/rules/deletion.ts';
import type { Draft, Lookup } from '../src/api/rules/rule.ts';
import { soundParts } from '../src/api/structure.ts';
import { schemaOfKind } from '../src/api/validation.ts';
import type { AddOperation, AdmissionRequest, Decision } from './admission-review.ts';

const NOTHING: Decision = { causes: [], warnings: [], patch: [] };

/** Judges a request. It is pure: a dry run and a real one are answered alike, and nothing is remembered. */
export function validate(kind: Kind, request: AdmissionRequest, lookup: Lookup, now: Date): Decision {
  if (request.operation === 'DELETE') {
    const { oldObject: object, namespace, user } = request;
    const { causes, warnings } = judgeDeletion({ kind, object, namespace, lookup, user });
    return { causes, warnings, patch: [] };
  }
  const { causes, warnings } = reviewRequest(kind, request, request.object, lookup, now);
  return { causes, warnings, patch: [] };
}

/**
 * Fills in what is missing: the defaults of the schema (for API servers and tools that did not) and the default backends of the
 * namespace. The patch is made upon the object as it came, so it can neither remove nor change what this version does not know.
 *
 * The API server refuses an object that fails its schema before it asks the validating webhook, and names only what the schema has against
 * it. Such an object is refused here already, with everything that is wrong with it.
 */
export function mutate(kind: Kind, request: AdmissionRequest, lookup: Lookup, now: Date): Decision {
  if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return NOTHING;
  const { object } = request;
  if (!isRecord(object) || (isRecord(object.metadata) && object.metadata.deletionTimestamp !== undefined))
    return NOTHING;
  const patch: AddOperation[] = missingDefaults(kind, object).map(({ path, value }) => ({
    op: 'add',
    path: path.map((segment) => `/${escapePointer(String(segment))}`).join(''),
    value,
  }));
  let patched: unknown = object;
  if (kind === 'BackupConfiguration') {
    const sound = soundParts(schemaOfKind(kind), object) as Draft<BackupConfiguration>;
    const backends = defaultBackends(sound, request.namespace, lookup);
    // Only where the field is absent: an empty list, or a wrong one, is the user's own.
    if (backends !== undefined && isRecord(object.spec) && !Object.hasOwn(object.spec, 'backends')) {
      patch.push({ op: 'add', path: '/spec/backends', value: backends });
      patched = { ...object, spec: { ...object.spec, backends } };
    }
  }
  const verdict = reviewRequest(kind, request, patched, lookup, now);
  return { causes: verdict.schemaFails ? verdict.causes : [], warnings: [], patch };
}

function reviewRequest(kind: Kind, request: AdmissionRequest, object: unknown, lookup: Lookup, now: Date) {
  const old = request.operation === 'UPDATE' && request.oldObject !== null ? { old: request.oldObject } : {};
  return review(kind, object, { ...old, lookup, namespace: request.namespace, now });
}

/** A segment of a JSON pointer (RFC 6901). */
function escapePointer(segment: string): string {
  return segment.replaceAll('~', '~0').replaceAll('/', '~1');
}
