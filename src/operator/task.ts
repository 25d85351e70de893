/** The task of an Addon that a session runs, as a container: a pure resolution of Addon, Function, parameters and variables. */
import { BackstayError } from '../api/errors.ts';
import type { Addon, AddonUse, BackstayFunction } from '../api/generated/types.ts';
import { resolveParameters } from '../api/parameters.ts';
import { expandVariables } from '../api/variables.ts';
import type { ContainerRequest } from './jobs/build.ts';
import type { PodOverlay } from './jobs/overlay.ts';

export interface TaskRequest {
  purpose: 'backup' | 'restore';
  use: AddonUse;
  addon: Addon | undefined;
  /** The Function of a name. */
  findFunction: (name: string) => BackstayFunction | undefined;
  /** What the session itself gives: namespace, backupSession, …. Parameters cannot hide them. */
  variables: Readonly<Record<string, string>>;
}

export interface ResolvedTask {
  container: ContainerRequest;
  /** What the Function lays over the Pod. */
  runtimeSettings: PodOverlay | undefined;
}

/** An option whose variables are all empty: `--member=${member:=}` is left out when no member is given. */
const EMPTY_OPTION = /^--[a-z-]+=$/;

/**
 * The container that runs the task.
 *
 * @throws BackstayError AddonNotFound, TaskNotFound, FunctionNotFound, ParameterInvalid or VariableUnknown
 */
export function resolveTask({ purpose, use, addon, findFunction, variables }: TaskRequest): ResolvedTask {
  if (addon === undefined) {
    throw new BackstayError('AddonNotFound', `Addon ${use.name} does not exist`, {
      remedy: 'install the catalogue of Addons (policies/catalogue), or mend the name',
    });
  }
  const [chosen] = use.tasks;
  const tasks = (purpose === 'backup' ? addon.spec.backupTasks : addon.spec.restoreTasks) ?? [];
  const task = tasks.find(({ name }) => name === chosen?.name);
  if (chosen === undefined || task === undefined) {
    const known = tasks.map(({ name }) => name).join(', ') || 'none';
    throw new BackstayError(
      'TaskNotFound',
      `Addon ${use.name} has no ${purpose} task ${chosen?.name ?? ''}; it has ${known}`,
      {
        remedy: 'name one of its tasks',
      },
    );
  }
  const found = findFunction(task.function);
  if (found === undefined) {
    throw new BackstayError(
      'FunctionNotFound',
      `Function ${task.function}, which runs task ${task.name} of Addon ${use.name}, does not exist`,
      {
        remedy: 'install the catalogue of Functions (policies/catalogue), or mend the Addon',
      },
    );
  }
  const values = { ...resolveParameters(task.parameters ?? [], chosen.params), ...variables };
  const { image, command, args = [], workingDir, env, runtimeSettings } = found.spec;
  const expand = (text: string): string => expandVariables(text, values);
  return {
    container: {
      args: args.map(expand).filter((arg, index) => arg === args[index] || !EMPTY_OPTION.test(arg)),
      ...(image === undefined ? {} : { image }),
      ...(command === undefined ? {} : { command: command.map(expand) }),
      ...(workingDir === undefined ? {} : { workingDir }),
      ...(env === undefined
        ? {}
        : { env: env.map(({ name, value }) => (value === undefined ? { name } : { name, value: expand(value) })) }),
    },
    runtimeSettings,
  };
}
