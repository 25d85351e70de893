import type { KubeObject } from '../../api/meta.ts';
import type { CacheEvent } from '../../kube/cache.ts';
import { specChanged } from '../../kube/controller.ts';
import { type ObjectID, objectID } from '../object-id.ts';
import { POLICY_SYNC_LABEL } from '../ownership.ts';

/**
 * Whose object changed, by the marks that it carries and carried: somebody may have taken the mark away. A status alone is no change.
 */
export function touchedBy(event: CacheEvent<KubeObject>): { marks: string[]; id: ObjectID } {
  const id = objectID(event.object);
  const before = event.type === 'updated' ? [event.previous] : [];
  const marks = [event.object, ...before].flatMap(({ metadata }) => metadata.labels?.[POLICY_SYNC_LABEL] ?? []);
  return { marks: marks.length > 0 && specChanged(event) ? [...new Set(marks)] : [], id };
}
