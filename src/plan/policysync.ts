import type { PolicySync } from '../api/generated/types.ts';
import { desiredObjects } from '../gitops/desired.ts';
import { judge } from '../gitops/judge.ts';
import type { LiveObjects } from '../gitops/live.ts';
import { isSecretID, parseObjectID } from '../gitops/object-id.ts';
import { markOf } from '../gitops/ownership.ts';
import { plan, type Step } from '../gitops/plan.ts';
import { type Failure, parseFieldPath, readObjects, type SourceObject } from '../gitops/read/objects.ts';
import { withoutSecrets } from '../gitops/sops/secrets.ts';
import { conflictFailure } from '../gitops/wording.ts';
import type { InputFile } from '../validate/files.ts';
import type { Intended } from './intended.ts';
import type { Superfluous } from './prune.ts';
import type { Complaint, PlannedObject } from './report.ts';

/** What a PolicySync would do if its repository held these files. */
export interface SyncIntent {
  intended: Intended[];
  /** What is decided without asking the API server. */
  decided: PlannedObject[];
  problems: Complaint[];
  superfluous: Superfluous[];
}

export interface SyncSurroundings {
  live: LiveObjects;
  /** Whether there is a PolicySync with this mark. */
  exists: (mark: string) => boolean;
  /** Whether what is no longer asked for is looked at. */
  prune: boolean;
  signal: AbortSignal;
}

/** Reads and plans as the PolicySync does: with its mark, its inventory, and its rules for what may stand in a repository. */
export async function intentOfSync(
  policySync: PolicySync,
  files: readonly InputFile[],
  { live, exists, prune, signal }: SyncSurroundings,
): Promise<SyncIntent> {
  const { spec, status, metadata } = policySync;
  const { namespace = '', name = '' } = metadata;
  const mark = markOf({ namespace, name });
  const read = files.map((file) => readObjects(file));
  const sources = read.flatMap(({ objects }) => objects);
  const decryption = spec.decryption !== undefined;
  const desired = desiredObjects(sources, { mark, namespace, decryption, validate: judge });
  const { failures } = desired;
  // A plan is read by more people than a Secret is, so it does without the keys.
  const { objects, closed } = withoutSecrets(
    desired.objects,
    'it is encrypted with SOPS, and a plan does not decrypt it; backstay sync diff does',
  );
  // Of Secrets nothing is known but their names: they are neither compared nor taken for gone.
  const inventory = (status?.inventory ?? []).filter(({ id }) => !isSecretID(id));
  const found = await live(new Set([...objects, ...inventory].map(({ id }) => id)), mark, signal);
  const steps = plan({
    ...{ mark, desired: objects, inventory, exists },
    live: (id) => found.get(id),
    prune: spec.prune !== false,
    force: spec.force === true,
  });
  const wrong = new Set(failures.map(({ object }) => object));
  const intent: SyncIntent = {
    intended: [],
    decided: refusals(failures),
    problems: read.flatMap((one) => one.failures.map(complaintOf)),
    superfluous: [],
  };
  for (const step of [...steps, ...closed]) {
    const isPruning = step.action === 'prune' || (step.action === 'skip' && step.desired === undefined);
    if (prune || !isPruning) sort(step, wrong, intent);
  }
  return intent;
}

function sort(step: Step, wrong: ReadonlySet<string | undefined>, intent: SyncIntent): void {
  switch (step.action) {
    case 'create':
    case 'change':
    case 'keep': {
      const one = intendedOf(step.desired, step.action !== 'keep' && step.force);
      if (!wrong.has(labelOf(step.desired.id))) intent.intended.push(one);
      return;
    }
    case 'conflict':
      intent.decided.push(...refusals([conflictFailure(step)]));
      return;
    case 'prune':
      intent.superfluous.push({ type: step.type, live: step.live });
      return;
    case 'skip': {
      const { file, line } = step.desired?.source ?? {};
      const place = { ...(file === undefined ? {} : { file }), ...(line === undefined ? {} : { line }) };
      const { id, reason } = step;
      if (step.desired !== undefined && wrong.has(labelOf(step.desired.id))) return;
      intent.decided.push({ action: 'skip', object: labelOf(id), ...place, causes: [], warnings: [], reason });
    }
  }
}

function intendedOf({ object, source, type }: SourceObject & Pick<Intended, 'type'>, force: boolean): Intended {
  const at: Intended['at'] = (field) =>
    field === '' ? { line: source.line, column: 1 } : source.locate(parseFieldPath(field));
  return { object, type, file: source.file, at, force };
}

/** Failures of one object together. */
function refusals(failures: readonly Failure[]): PlannedObject[] {
  const byObject = Map.groupBy(failures, ({ object = 'object' }) => object);
  return [...byObject].map(([object, all]) => {
    const { file, line } = all[0] ?? {};
    const place = { ...(file === undefined ? {} : { file }), ...(line === undefined ? {} : { line }) };
    return { action: 'refuse', object, ...place, causes: all.map(complaintOf), warnings: [] };
  });
}

function complaintOf({ object: _object, ...complaint }: Failure): Complaint {
  return complaint;
}

function labelOf(id: string): string {
  const parsed = parseObjectID(id);
  return parsed === undefined ? id : [parsed.type.kind, parsed.namespace, parsed.name].filter(Boolean).join('/');
}
