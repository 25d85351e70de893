import type { Addon, AddonBackupTask } from '../generated/types.ts';
import { Functions } from '../kinds.ts';
import { checkParameters } from '../parameters.ts';
import { Findings } from './findings.ts';
import { findReferred } from './references.ts';
import type { Draft, Rule, Subject } from './rule.ts';

/** Variables that a Function has besides the parameters of its task. */
export const BUILT_IN_VARIABLES: readonly string[] = [
  'namespace',
  'backupSession',
  'restoreSession',
  'session',
  'targetName',
  'targetNamespace',
];

/** Judges an Addon. */
export const judgeAddon: Rule<Addon> = (subject) => {
  const findings = new Findings();
  for (const list of ['backupTasks', 'restoreTasks'] as const) {
    for (const [index, task] of (subject.object.spec?.[list] ?? []).entries()) {
      checkTask(findings, subject, task, `spec.${list}[${index}]`);
    }
  }
  return findings;
};

function checkTask(findings: Findings, subject: Subject<Addon>, task: Draft<AddonBackupTask>, path: string): void {
  findReferred(findings, subject, Functions, { name: task.function }, `${path}.function`);
  for (const [index, parameter] of (task.parameters ?? []).entries()) {
    const { name, type, default: fallback } = parameter;
    const at = `${path}.parameters[${index}]`;
    if (name === undefined) continue;
    if (BUILT_IN_VARIABLES.includes(name)) {
      findings.refuse(`${at}.name`, 'FieldValueForbidden', `${name} is a variable of Backstay; choose another name`);
    }
    // What an enum allows and what the default is must themselves be values of the type.
    const plain = { name, ...(type === undefined ? {} : { type }) };
    const allowed = [...(parameter.enum ?? [])];
    for (const [item, value] of allowed.entries()) {
      for (const { reason, message } of checkParameters([plain], { [name]: value })) {
        findings.refuse(`${at}.enum[${item}]`, reason, message);
      }
    }
    if (fallback === undefined) continue;
    for (const { reason, message } of checkParameters([{ ...plain, enum: allowed }], { [name]: fallback })) {
      findings.refuse(`${at}.default`, reason, message);
    }
    if (parameter.required === true) findings.warn(`${at}.required has no effect beside a default`);
  }
}
