import { joinPath } from '../causes.ts';
import type { AddonBackupTask, AddonUse } from '../generated/types.ts';
import { isRecord } from '../json.ts';
import { Addons } from '../kinds.ts';
import { checkParameters } from '../parameters.ts';
import { didYouMean } from '../suggest.ts';
import type { Findings } from './findings.ts';
import { checkContainer, checkPodTemplate } from './pod-template.ts';
import { findReferred } from './references.ts';
import type { Draft, Subject } from './rule.ts';

const OTHER = { backupTasks: 'restores', restoreTasks: 'backs up' } as const;

/** Judges which task of which Addon is to run, with which parameters, against the Addon when it is known. */
export function checkAddonUse(
  findings: Findings,
  subject: Pick<Subject<unknown>, 'lookup' | 'namespace'>,
  use: Draft<AddonUse> | undefined,
  list: 'backupTasks' | 'restoreTasks',
  path: string,
): void {
  if (use === undefined) return;
  checkPodTemplate(findings, use.jobTemplate, `${path}.jobTemplate`);
  checkContainer(findings, use.containerRuntimeSettings, `${path}.containerRuntimeSettings`);
  const addon = findReferred(findings, subject, Addons, use, `${path}.name`);
  if (addon === undefined) return;
  const tasks: AddonBackupTask[] = addon.spec[list] ?? [];
  const others = addon.spec[list === 'backupTasks' ? 'restoreTasks' : 'backupTasks'] ?? [];
  for (const [index, { name, params }] of (use.tasks ?? []).entries()) {
    if (name === undefined) continue;
    const taskPath = `${path}.tasks[${index}]`;
    const task = tasks.find((one) => one.name === name);
    if (task === undefined) {
      const names = tasks.map((one) => one.name);
      const why = others.some((one) => one.name === name)
        ? `task ${name} of Addon ${use.name} ${OTHER[list]}`
        : `Addon ${use.name} has no task ${name}`;
      const message = `${why}; its tasks are ${names.join(', ') || 'none'}${didYouMean(name, names)}`;
      findings.refuse(`${taskPath}.name`, 'FieldValueNotSupported', message);
      continue;
    }
    for (const problem of checkParameters(task.parameters ?? [], isRecord(params) ? params : {})) {
      findings.refuse(joinPath(`${taskPath}.params`, problem.name), problem.reason, problem.message);
    }
  }
}
