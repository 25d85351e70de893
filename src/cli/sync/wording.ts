import type { PolicySync } from '../../api/generated/types.ts';
import { COMMIT_STATUS } from '../../gitops/commit-status/delivery.ts';
import { differences } from '../../gitops/differences.ts';
import { CONTESTED } from '../../gitops/drift/contest.ts';
import type { Step } from '../../gitops/plan.ts';
import { objectLabel } from '../../gitops/read/objects.ts';
import { isSecretValue, MASK } from '../../gitops/sops/discreet.ts';
import { describeFailure, notesOf } from '../../gitops/wording.ts';

const VALUE_LENGTH = 60;

/** One line for each, in columns. */
export function table(policySyncs: readonly PolicySync[]): string {
  const rows = policySyncs.map((one) => {
    const { metadata, spec, status } = one;
    return [
      metadata.namespace ?? '',
      metadata.name ?? '',
      spec.suspend === true ? 'Suspended' : (readyOf(one)?.reason ?? 'Pending'),
      short(status?.lastAppliedRevision),
      String(status?.objects ?? 0),
      spec.url,
    ];
  });
  const all = [['NAMESPACE', 'NAME', 'STATE', 'REVISION', 'OBJECTS', 'URL'], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Everything about one. */
export function describeSync(policySync: PolicySync): string {
  const { metadata, spec, status } = policySync;
  const ready = readyOf(policySync);
  const lines = [
    `PolicySync ${metadata.namespace}/${metadata.name}`,
    `  repository  ${spec.url}${spec.path === undefined ? '' : `, folder ${spec.path}`}`,
    `  state       ${spec.suspend === true ? 'Suspended; ' : ''}${ready === undefined ? 'Pending' : `${ready.reason}: ${ready.message}`}`,
    `  applied     ${status?.lastAppliedRevision ?? 'nothing yet'}${status?.objects === undefined ? '' : `, ${status.objects} objects`}`,
  ];
  if (status?.lastAttemptedRevision !== undefined && status.lastAttemptedRevision !== status.lastAppliedRevision)
    lines.push(`  tried       ${status.lastAttemptedRevision}`);
  if (status?.nextReconcileTime !== undefined) lines.push(`  next        ${status.nextReconcileTime} at the latest`);
  for (const { type, status: is, message } of status?.conditions ?? [])
    if (type === COMMIT_STATUS) lines.push(`  told        ${is === 'True' ? '' : 'nobody: '}${message}`);
    else if (type === CONTESTED && is === 'True') lines.push(`  contested   ${message}`);
  for (const failure of status?.failures ?? []) lines.push(`  wrong       ${describeFailure(failure)}`);
  for (const { time, outcome, revision, durationSeconds, message } of status?.history ?? [])
    lines.push(`  ${time}  ${outcome} ${short(revision)} in ${durationSeconds ?? '?'} s: ${message}`);
  return lines.join('\n');
}

/** What is to happen, a line for each object that something happens to and for each field that changes. */
export function describeSteps(steps: readonly Step[]): { text: string[]; differs: boolean } {
  const text = steps.flatMap((step): string[] => {
    switch (step.action) {
      case 'create':
        return [`+ ${objectLabel(step.desired.object)}  (${placeOf(step.desired.source)})`];
      case 'change':
        return [
          `~ ${objectLabel(step.desired.object)}  (${placeOf(step.desired.source)})`,
          ...differences(step.desired.object, step.live).map(({ field, live, wanted }) =>
            isSecretValue(step.desired.object, field)
              ? `    ${field}: ${live === undefined ? 'nothing' : MASK} -> ${MASK}`
              : `    ${field}: ${show(live)} -> ${show(wanted)}`,
          ),
        ];
      case 'prune':
        return [`- ${objectLabel(step.live)}`];
      case 'conflict':
        return [`! ${objectLabel(step.desired.object)} is managed by ${step.manager}`];
      default:
        return [];
    }
  });
  const notes = notesOf(steps).map((note) => `  ${note}`);
  if (text.length === 0) return { text: ['Nothing to change.', ...notes], differs: false };
  return { text: [...text, ...notes], differs: true };
}

function readyOf({ status }: PolicySync) {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

function placeOf({ file, line }: { file: string; line: number }): string {
  return `${file}:${line}`;
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH - 1)}…` : text;
}

/** `main@sha1:0a1b2c3d` */
function short(revision: string | undefined): string {
  return revision?.replace(/([0-9a-f]{12})[0-9a-f]+$/, '$1') ?? '';
}
