import { describeError } from '../api/errors.ts';
import type { KubeObject, ResourceType } from '../api/meta.ts';
import { objectLabel } from '../gitops/read/objects.ts';
import { isTemporary } from '../gitops/server-trouble.ts';
import { discreet } from '../gitops/sops/discreet.ts';
import { Namespaces } from '../kube/builtin.ts';
import type { Client } from '../kube/client.ts';
import { isConflict, isNotFound, KubeError } from '../kube/kube-error.ts';
import { refOf } from '../kube/resource.ts';
import { type Intended, refusedObject } from './intended.ts';
import { differencesBetween } from './presentable.ts';
import type { PlannedObject } from './report.ts';

export interface RehearsalOptions {
  client: Pick<Client, 'get' | 'apply' | 'delete'>;
  fieldManager: string;
  /** kind/name of what is to be applied too. */
  labels: ReadonlySet<string>;
  signal: AbortSignal;
}

/** What became of a rehearsal: the object as the cluster would hold it, unless it would be refused. */
export interface Rehearsed {
  planned: PlannedObject;
  held?: KubeObject;
}

/**
 * Asks the API server what applying an object would do, with everything that defaults and admission make of it; stores nothing.
 *
 * @throws KubeError when the server cannot be asked now; a refusal is returned
 */
export async function rehearseApply(one: Intended, options: RehearsalOptions): Promise<Rehearsed> {
  const { client, fieldManager, signal, labels } = options;
  const { object, type, force, file } = one;
  const warnings: string[] = [];
  const place = { object: objectLabel(object), file, line: one.at('').line, causes: [], warnings };
  try {
    const live = await client.get(type, refOf(object), { signal });
    const held = await client.apply(type, object, {
      ...{ fieldManager, force, dryRun: true, fieldValidation: 'Strict', signal },
      onWarning: (message) => warnings.push(discreet(object, message)),
    });
    const diff = differencesBetween(live, held);
    if (live === undefined) return { planned: { ...place, action: 'create', diff }, held };
    return {
      planned: diff.length === 0 ? { ...place, action: 'unchanged' } : { ...place, action: 'change', diff },
      held,
    };
  } catch (error) {
    if (!(error instanceof KubeError) || isTemporary(error)) throw error;
    const namespace = missingNamespace(error, object);
    if (namespace !== undefined && labels.has(`${Namespaces.kind}/${namespace}`)) {
      const warning = `Namespace ${namespace} is created by this plan too: the API server could not judge the object yet`;
      return {
        planned: { ...place, action: 'create', diff: differencesBetween(undefined, object), warnings: [warning] },
        held: object,
      };
    }
    return { planned: { ...refusedObject(one, causesOf(error, object)), warnings } };
  }
}

/** Asks the API server whether an object could be deleted; undefined when it is gone already. */
export async function rehearseDelete(
  type: ResourceType,
  live: KubeObject,
  { client, signal }: RehearsalOptions,
): Promise<PlannedObject | undefined> {
  const planned = { action: 'prune', object: objectLabel(live), causes: [], warnings: [] } as const;
  try {
    const there = await client.delete(type, refOf(live), { uid: live.metadata.uid, dryRun: true, signal });
    return there ? { ...planned, causes: [], warnings: [] } : undefined;
  } catch (error) {
    if (!(error instanceof KubeError) || isTemporary(error)) throw error;
    return {
      ...planned,
      action: 'refuse',
      causes: [{ message: `it cannot be pruned: ${describeError(error)}` }],
      warnings: [],
    };
  }
}

function causesOf(error: KubeError, object: KubeObject): { field: string; message: string }[] {
  const said = error.causes.map(({ field, message }) => ({
    field: field.replace(/^\./, ''),
    message: discreet(object, message),
  }));
  if (isConflict(error)) {
    const why = said.map(({ field, message }) => ({
      field,
      message: `${message}; leave the field to it, or plan with --force-conflicts`,
    }));
    if (why.length > 0) return why;
  }
  const causes = said.filter(({ field }) => field !== '' && field !== '<nil>');
  return causes.length > 0 ? causes : [{ field: '', message: discreet(object, describeError(error)) }];
}

/** The namespace that an object is missing, if that is why it is refused. */
function missingNamespace(error: KubeError, { metadata: { namespace } }: KubeObject): string | undefined {
  return isNotFound(error) && namespace !== undefined && error.message.includes(`namespaces "${namespace}" not found`)
    ? namespace
    : undefined;
}
