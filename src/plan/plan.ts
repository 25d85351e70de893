import type { BackupConfiguration, PolicySync } from '../api/generated/types.ts';
import { API_VERSION } from '../api/group.ts';
import { PolicySyncs } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { forEach } from '../gitops/apply.ts';
import { liveFrom } from '../gitops/live.ts';
import { FIELD_MANAGER, markOf } from '../gitops/ownership.ts';
import { objectLabel } from '../gitops/read/objects.ts';
import type { Client } from '../kube/client.ts';
import type { InputFile } from '../validate/files.ts';
import { validateFiles } from '../validate/validate.ts';
import { type Intended, readIntended } from './intended.ts';
import { KindsOfCluster } from './kinds-of-cluster.ts';
import { intentOfSync } from './policysync.ts';
import { type Superfluous, superfluousByLabel } from './prune.ts';
import { type RehearsalOptions, type Rehearsed, rehearseApply, rehearseDelete } from './rehearse.ts';
import type { Complaint, PlannedObject, PlanReport } from './report.ts';
import { upcomingRuns } from './schedules.ts';

/** Who would apply the files. */
export type Applier =
  | {
      kind: 'person';
      fieldManager: string;
      /** Whether fields are taken over from other field managers. */
      force: boolean;
      /** Policies that carry this label and are not in the files would be pruned. */
      selector: string | undefined;
    }
  | { kind: 'PolicySync'; policySync: PolicySync; prune: boolean };

export interface PlanOptions {
  client: Client;
  applier: Applier;
  /** Namespace of objects that name none. */
  namespace: string;
  now: Date;
  signal: AbortSignal;
}

interface Intent {
  intended: Intended[];
  decided: PlannedObject[];
  problems: Complaint[];
  superfluous: Superfluous[];
}

/**
 * Finds out what applying files to a cluster would do: the API server rehearses every write, and stores nothing.
 *
 * @throws KubeError when the API server cannot be asked
 */
export async function planFiles(files: readonly InputFile[], options: PlanOptions): Promise<PlanReport> {
  const { client, applier, namespace, now, signal } = options;
  const intent = await intentOf(files, options);
  const { intended, superfluous } = intent;
  const labels = new Set(intended.map(({ object }) => objectLabel(object)));
  const fieldManager = applier.kind === 'person' ? applier.fieldManager : FIELD_MANAGER;
  const rehearsal: RehearsalOptions = { client, fieldManager, labels, signal };
  const results = new Map<Intended, Rehearsed>();
  await forEach(intended, async (one) => void results.set(one, await rehearseApply(one, rehearsal)));
  const rehearsed = intended.flatMap((one) => results.get(one) ?? []);
  if (applier.kind === 'person') refuseWhatRulesRefuse(rehearsed, files, namespace, now);
  explainWarnings(rehearsed);
  const pruned = new Map<Superfluous, PlannedObject | undefined>();
  await forEach(superfluous, async (one) => void pruned.set(one, await rehearsePrune(one, rehearsal)));
  return {
    objects: [
      ...intent.decided,
      ...rehearsed.map(({ planned }) => planned),
      ...superfluous.flatMap((one) => pruned.get(one) ?? []),
    ],
    problems: intent.problems,
    schedules: rehearsed.flatMap(({ planned, held }) =>
      planned.action !== 'refuse' && isConfiguration(held) ? upcomingRuns(held, now) : [],
    ),
  };
}

async function intentOf(
  files: readonly InputFile[],
  { client, applier, namespace, signal }: PlanOptions,
): Promise<Intent> {
  if (applier.kind === 'PolicySync') {
    const all = await client.listAll(PolicySyncs, {}, { signal });
    const marks = new Set(
      all.map(({ metadata }) => markOf({ namespace: metadata.namespace ?? '', name: metadata.name ?? '' })),
    );
    const exists = (mark: string): boolean => marks.has(mark);
    return await intentOfSync(applier.policySync, files, {
      ...{ live: liveFrom(client), exists, prune: applier.prune, signal },
    });
  }
  const kinds = new KindsOfCluster(client, signal);
  const { force, selector } = applier;
  const { intended, refused, problems } = await readIntended(files, { namespace, force, kinds });
  const superfluous =
    selector === undefined ? [] : await superfluousByLabel(client, selector, { intended, namespace }, signal);
  return { intended, decided: refused, problems, superfluous };
}

/**
 * The API server judges each object beside what it has already. What it cannot see yet, the rules judge: new objects beside the others of
 * the files. What is changed keeps the server's verdict, which allows what was wrong before.
 */
function refuseWhatRulesRefuse(
  rehearsed: readonly Rehearsed[],
  files: readonly InputFile[],
  namespace: string,
  now: Date,
): void {
  const { findings } = validateFiles(files, { namespace, complete: false, now });
  const errors = Map.groupBy(
    findings.filter(({ level }) => level === 'error'),
    ({ object = '' }) => object,
  );
  for (const { planned } of rehearsed) {
    const found = planned.action === 'create' ? (errors.get(planned.object) ?? []) : [];
    if (found.length === 0) continue;
    planned.action = 'refuse';
    delete planned.diff;
    planned.causes.push(
      ...found.map(({ file, line, column, field, message }) => ({
        ...{ file, line, column, message },
        ...(field === undefined ? {} : { field }),
      })),
    );
  }
}

/** A reference to what the same plan creates is as it should be. */
function explainWarnings(rehearsed: readonly Rehearsed[]): void {
  const created = new Set(
    rehearsed.filter(({ planned }) => planned.action === 'create').map(({ planned }) => planned.object),
  );
  for (const { planned } of rehearsed) {
    planned.warnings = planned.warnings.map((warning) => {
      const [, kind, name] = /: ([A-Za-z]+) (\S+) does not exist yet$/.exec(warning) ?? [];
      return created.has(`${kind}/${name}`)
        ? warning.replace(/does not exist yet$/, 'does not exist yet; this plan creates it')
        : warning;
    });
  }
}

async function rehearsePrune(
  { type, live, reason }: Superfluous,
  rehearsal: RehearsalOptions,
): Promise<PlannedObject | undefined> {
  if (reason === undefined) return await rehearseDelete(type, live, rehearsal);
  return { action: 'skip', object: objectLabel(live), causes: [], warnings: [], reason };
}

function isConfiguration(object: KubeObject | undefined): object is BackupConfiguration {
  return object?.apiVersion === API_VERSION && object.kind === 'BackupConfiguration';
}
