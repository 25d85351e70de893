import type { AddonBackupTask, BackstayFunction } from '../generated/types.ts';
import { Addons } from '../kinds.ts';
import { didYouMean } from '../suggest.ts';
import { requiredVariables } from '../variables.ts';
import { BUILT_IN_VARIABLES } from './addon.ts';
import { Findings } from './findings.ts';
import { checkPodTemplate } from './pod-template.ts';
import type { Rule } from './rule.ts';

/** Judges a Function. */
export const judgeFunction: Rule<BackstayFunction> = ({ object, name, lookup }) => {
  const findings = new Findings();
  const { command = [], args = [], env = [] } = object.spec ?? {};
  checkPodTemplate(findings, object.spec?.runtimeSettings, 'spec.runtimeSettings');
  const texts: [string, string | undefined][] = [
    ...command.map((text, index): [string, string] => [`spec.command[${index}]`, text]),
    ...args.map((text, index): [string, string] => [`spec.args[${index}]`, text]),
    ...env.map(({ value }, index): [string, string | undefined] => [`spec.env[${index}].value`, value]),
  ];
  const users = lookup
    .list(Addons)
    .flatMap(({ spec }): AddonBackupTask[] => [...(spec.backupTasks ?? []), ...(spec.restoreTasks ?? [])]);
  const parameters = users.filter((task) => task.function === name).flatMap((task) => task.parameters ?? []);
  const known = [...BUILT_IN_VARIABLES, ...parameters.map((parameter) => parameter.name)];
  for (const [field, text] of texts) {
    if (text === undefined) continue;
    if (/\$\{[^}]*$/.test(text))
      findings.refuse(field, 'FieldValueInvalid', 'a variable is not closed: a } is missing');
    for (const variable of requiredVariables(text)) {
      if (!/^[A-Za-z][A-Za-z0-9]*$/.test(variable)) {
        findings.refuse(
          field,
          'FieldValueInvalid',
          `\${${variable}} is no variable: write \${name} or \${name:=default}`,
        );
      } else if (parameters.length > 0 && !known.includes(variable)) {
        findings.warn(`${field}: no task has the parameter ${variable}${didYouMean(variable, known)}`);
      }
    }
  }
  return findings;
};
