import { type CauseReason, quote } from './causes.ts';
import { BackstayError } from './errors.ts';
import type { AddonBackupTaskParameter } from './generated/types.ts';
import { didYouMean } from './suggest.ts';

/** A parameter as a task of an Addon declares it. */
export type DeclaredParameter = AddonBackupTaskParameter;

/** Parameters as an AddonTask gives them. */
export type GivenParameters = Readonly<Record<string, unknown>>;

/** What is wrong with one parameter. */
export interface ParameterProblem {
  name: string;
  reason: CauseReason;
  message: string;
}

const DURATION = /^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$/;

/** Everything that is wrong with the parameters given to a task. */
export function checkParameters(
  declared: readonly DeclaredParameter[],
  given: GivenParameters = {},
): ParameterProblem[] {
  const problems: ParameterProblem[] = [];
  for (const [name, value] of Object.entries(given)) {
    const parameter = declared.find((one) => one.name === name);
    const problem = parameter === undefined ? unknownParameter(name, declared) : checkValue(parameter, value);
    if (problem !== undefined) problems.push(problem);
  }
  for (const { name, required, default: fallback } of declared) {
    if (required === true && fallback === undefined && !Object.hasOwn(given, name)) {
      problems.push({ name, reason: 'FieldValueRequired', message: 'the task requires this parameter' });
    }
  }
  return problems;
}

/**
 * Every parameter of a task that has a value, as text: what is given, else its default.
 *
 * @throws BackstayError ParameterInvalid
 */
export function resolveParameters(
  declared: readonly DeclaredParameter[],
  given: GivenParameters = {},
): Record<string, string> {
  const [problem] = checkParameters(declared, given);
  if (problem !== undefined) {
    throw new BackstayError('ParameterInvalid', `parameter ${problem.name}: ${problem.message}`, {
      remedy: 'mend the parameters of the task, or the Addon that declares them',
    });
  }
  const resolved: Record<string, string> = {};
  for (const { name, default: fallback } of declared) {
    const value = Object.hasOwn(given, name) ? given[name] : fallback;
    if (value !== undefined && value !== null) resolved[name] = String(value);
  }
  return resolved;
}

function unknownParameter(name: string, declared: readonly DeclaredParameter[]): ParameterProblem {
  const names = declared.map((one) => one.name);
  const known = names.length === 0 ? 'the task has no parameters' : `the task has the parameters ${names.join(', ')}`;
  return { name, reason: 'FieldValueForbidden', message: `unknown parameter: ${known}${didYouMean(name, names)}` };
}

function checkValue(parameter: DeclaredParameter, value: unknown): ParameterProblem | undefined {
  const { name, type = 'string', enum: allowed } = parameter;
  if (!fits(type, value)) {
    return { name, reason: 'FieldValueInvalid', message: `${quote(value)} is not ${EXPECTED[type]}` };
  }
  if (allowed !== undefined && allowed.length > 0 && !allowed.includes(String(value))) {
    const message = `${quote(value)} is not supported: it must be one of ${allowed.join(', ')}`;
    return { name, reason: 'FieldValueNotSupported', message: message + didYouMean(String(value), allowed) };
  }
  return undefined;
}

const EXPECTED: Readonly<Record<NonNullable<DeclaredParameter['type']>, string>> = {
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
  duration: 'a duration such as 90s or 1h30m',
};

// YAML may hand over 5 or "5", true or "true": both become the same argument of the container.
function fits(type: NonNullable<DeclaredParameter['type']>, value: unknown): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
    case 'integer':
      return Number.isSafeInteger(value) || (typeof value === 'string' && /^-?[0-9]{1,15}$/.test(value));
    case 'boolean':
      return typeof value === 'boolean' || value === 'true' || value === 'false';
    case 'duration':
      return typeof value === 'string' && DURATION.test(value);
  }
}
