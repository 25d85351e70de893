import { BackstayError } from './errors.ts';

// ${name} or ${name:=default}; a default holds no closing brace.
const VARIABLE = /\$\{([^}:]*)(?::=([^}]*))?\}/g;

/**
 * Text of a Function with its variables filled in: `${name}`, or `${name:=default}` for one that may be missing. What a value holds is
 * taken as it is, never read as a variable again.
 *
 * @throws BackstayError VariableUnknown
 */
export function expandVariables(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(VARIABLE, (_, name: string, fallback: string | undefined) => {
    const value = Object.hasOwn(variables, name) ? variables[name] : fallback;
    if (value !== undefined) return value;
    throw new BackstayError('VariableUnknown', `\${${name}} has no value`, {
      remedy: `give the parameter ${name} in the task, or a default in the Function: \${${name}:=default}`,
    });
  });
}

/** Names of the variables in a text that have no default. */
export function requiredVariables(text: string): string[] {
  return [...text.matchAll(VARIABLE)].filter(([, , fallback]) => fallback === undefined).map(([, name = '']) => name);
}
