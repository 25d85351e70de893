import { parseDuration } from '../durations.ts';
import type { BackupConfiguration, BackupPolicyRule } from '../generated/types.ts';
import { isRecord } from '../json.ts';
import { Addons, BackupStorages, RetentionPolicies } from '../kinds.ts';
import type { KubeObject, ResourceType } from '../meta.ts';
import type { Draft } from '../rules/rule.ts';
import { type Around, type Check, literal } from './check.ts';
import { longGap } from './gaps.ts';
import { asRE2, matchesAny } from './pattern.ts';
import { retentionChecks } from './retention.ts';
import { storageChecks } from './storage.ts';

type Demands = BackupPolicyRule['spec']['demands'];
type Configuration = Draft<BackupConfiguration>;
type Reference = Draft<{ namespace?: string; name: string }> | undefined;

/** What demands ask of a BackupConfiguration, and of what it refers to. */
export function configurationChecks(demands: Demands): Check<Configuration>[] {
  const { maxInterval, minStorages, storages, encryptionSecrets, addons, tasks, consistency, noHostNetwork } = demands;
  return [
    ...(maxInterval === undefined ? [] : intervalChecks(maxInterval)),
    ...(minStorages === undefined ? [] : [storageCountCheck(minStorages)]),
    ...(storages === undefined ? [] : [storageCheck(storages)]),
    ...(encryptionSecrets === undefined ? [] : [secretCheck(encryptionSecrets)]),
    ...(addons === undefined ? [] : [addonCheck(addons)]),
    ...(tasks === undefined ? [] : [taskCheck(tasks)]),
    ...(consistency === undefined ? [] : consistencyChecks(consistency)),
    ...(noHostNetwork === true ? [hostNetworkCheck()] : []),
    ...storageChecks(demands).map((check) => through(check, BackupStorages, ({ storageRef }) => storageRef)),
    ...retentionChecks(demands).map((check) => through(check, RetentionPolicies, (one) => one.retentionPolicy)),
  ];
}

function intervalChecks(maxInterval: string): Check<Configuration>[] {
  const demand = 'maxInterval';
  return [
    {
      demand,
      field: 'spec.sessions',
      sentence: `demands a backup every ${maxInterval}, and at rest is`,
      find: ({ spec }) => [
        ...(spec?.paused === true ? ['the configuration'] : []),
        ...((spec?.sessions ?? []).every(({ scheduler }) => scheduler?.suspend === true) ? ['every session'] : []),
      ],
      cel: (self) =>
        `(${self}.spec.?paused.orValue(false) ? ["the configuration"] : [])` +
        ` + (${self}.spec.sessions.all(s, s.scheduler.?suspend.orValue(false)) ? ["every session"] : [])`,
    },
    {
      demand,
      field: 'spec.sessions',
      sentence: `demands a backup every ${maxInterval}, and there would be none`,
      find: ({ spec }, { now }) => {
        const awake = (spec?.sessions ?? []).flatMap(({ scheduler }) =>
          scheduler === undefined || scheduler.suspend === true ? [] : [scheduler],
        );
        const gap = longGap(awake, parseDuration(maxInterval), now);
        return gap === undefined
          ? []
          : [`from ${minute(gap.from)} to ${gap.to === undefined ? 'ever' : minute(gap.to)}`];
      },
    },
  ];
}

function minute(time: Date): string {
  return `${time.toISOString().slice(0, 16)}Z`;
}

function storageCountCheck(least: number): Check<Configuration> {
  return {
    demand: 'minStorages',
    field: 'spec.backends',
    sentence: `demands backups in ${least} BackupStorages at least, and they are in`,
    find: ({ spec }, { namespace }) => {
      const used = new Set(
        (spec?.sessions ?? []).flatMap((session) => (session.repositories ?? []).map(({ backend }) => backend)),
      );
      const written = (spec?.backends ?? []).flatMap(({ name = '', storageRef }) =>
        used.has(name) ? [{ name, storage: fullName(storageRef, namespace) }] : [],
      );
      // The first of each in the order of names, as CEL finds them.
      const isLater = ({ name, storage }: (typeof written)[number]): boolean =>
        written.some((other) => other.name < name && other.storage === storage);
      const distinct = written.filter((one) => !isLater(one)).map(({ storage }) => storage);
      if (distinct.length >= least) return [];
      return distinct.length === 0 ? ['none'] : distinct;
    },
    cel: (self) => {
      const used = `${self}.spec.?backends.orValue([]).filter(b, ${self}.spec.sessions.exists(s, s.repositories.exists(r, r.backend == b.name)))`;
      const key = (of: string): string =>
        `${of}.storageRef.?namespace.orValue(request.namespace) + "/" + ${of}.storageRef.name`;
      // The first of each: CEL has no sets here, and names of backends are unique. A list of one list stands for a variable: the API server
      // counts what an expression costs.
      const first = `u.filter(a, !u.exists(c, c.name < a.name && ${key('c')} == ${key('a')}))`;
      const distinct = `[${used}].map(u, ${first}.map(a, ${key('a')}))`;
      return `${distinct}.map(d, size(d) >= ${least} ? [] : (size(d) == 0 ? ["none"] : d))[0]`;
    },
  };
}

function storageCheck(patterns: readonly string[]): Check<Configuration> {
  return {
    demand: 'storages',
    field: 'spec.backends',
    sentence: `allows the BackupStorages ${patterns.join(', ')}, not`,
    find: ({ spec }, { namespace }) =>
      (spec?.backends ?? [])
        .map(({ storageRef }) => fullName(storageRef, namespace))
        .filter((name) => !matchesAny(patterns, name)),
    cel: (self) =>
      `${self}.spec.?backends.orValue([])` +
      '.map(b, b.storageRef.?namespace.orValue(request.namespace) + "/" + b.storageRef.name)' +
      `.filter(n, !n.matches(${literal(asRE2(patterns))}))`,
  };
}

function secretCheck(patterns: readonly string[]): Check<Configuration> {
  return {
    demand: 'encryptionSecrets',
    field: 'spec.sessions',
    sentence: `demands encryption by one of the Secrets ${patterns.join(', ')}, not`,
    find: ({ spec }, { namespace }) =>
      (spec?.sessions ?? []).flatMap((session) =>
        (session.repositories ?? [])
          .map(({ encryptionSecret }) => fullName(encryptionSecret, namespace))
          .filter((name) => !matchesAny(patterns, name)),
      ),
    cel: (self) => {
      const name = 'r.encryptionSecret.?namespace.orValue(request.namespace) + "/" + r.encryptionSecret.name';
      return flat(self, `s.repositories.map(r, ${name}).filter(n, !n.matches(${literal(asRE2(patterns))}))`);
    },
  };
}

function addonCheck(patterns: readonly string[]): Check<Configuration> {
  return {
    demand: 'addons',
    field: 'spec.sessions',
    sentence: `allows the Addons ${patterns.join(', ')}, not`,
    find: ({ spec }) =>
      (spec?.sessions ?? []).flatMap(({ addon }) => addon?.name ?? []).filter((name) => !matchesAny(patterns, name)),
    cel: (self) => `${self}.spec.sessions.map(s, s.addon.name).filter(n, !n.matches(${literal(asRE2(patterns))}))`,
  };
}

function taskCheck(patterns: readonly string[]): Check<Configuration> {
  return {
    demand: 'tasks',
    field: 'spec.sessions',
    sentence: `allows the tasks ${patterns.join(', ')}, not`,
    find: ({ spec }) =>
      (spec?.sessions ?? [])
        .flatMap(({ addon }) => (addon?.tasks ?? []).flatMap(({ name }) => name ?? []))
        .filter((name) => !matchesAny(patterns, name)),
    cel: (self) => flat(self, `s.addon.tasks.map(t, t.name).filter(n, !n.matches(${literal(asRE2(patterns))}))`),
  };
}

function consistencyChecks(allowed: readonly string[]): Check<Configuration>[] {
  const common = {
    demand: 'consistency',
    field: 'spec.sessions',
    sentence: `allows the consistency ${allowed.join(', ')}, not`,
  };
  const params = (task: { readonly params?: unknown }): Record<string, unknown> =>
    isRecord(task.params) ? task.params : {};
  return [
    {
      ...common,
      find: ({ spec }) =>
        (spec?.sessions ?? []).flatMap(({ addon }) =>
          (addon?.tasks ?? [])
            .map((task) => params(task).consistency)
            .filter((mode) => mode !== undefined && !(typeof mode === 'string' && allowed.includes(mode)))
            .map((mode) => (typeof mode === 'string' ? mode : 'something else')),
        ),
      cel: (self) => {
        const modes =
          's.addon.tasks.filter(t, has(dyn(t).params) && has(dyn(t).params.consistency)).map(t, dyn(t).params.consistency)';
        const wrong = `${modes}.filter(m, !(m in ${literal(allowed)}))`;
        return flat(self, `${wrong}.map(m, type(m) == string ? string(m) : "something else")`);
      },
    },
    {
      ...common,
      // Whose parameter is not given has the Addon's default.
      find: ({ spec }, { lookup }) =>
        (spec?.sessions ?? []).flatMap(({ addon }) =>
          (addon?.tasks ?? []).flatMap((task) => {
            if (addon?.name === undefined || params(task).consistency !== undefined) return [];
            const declared = lookup
              .get(Addons, undefined, addon.name)
              ?.spec.backupTasks?.find(({ name }) => name === task.name)
              ?.parameters?.find(({ name }) => name === 'consistency')?.default;
            return declared === undefined || allowed.includes(declared) ? [] : [`${declared}, the default of the task`];
          }),
        ),
    },
  ];
}

function hostNetworkCheck(): Check<Configuration> {
  const isOn = (template: { readonly spec?: unknown } | undefined): boolean =>
    isRecord(template?.spec) && template.spec.hostNetwork === true;
  return {
    demand: 'noHostNetwork',
    field: 'spec.sessions',
    sentence: 'allows no Pod on the network of its node, as of the session',
    find: ({ spec }) =>
      (spec?.sessions ?? [])
        .filter(({ scheduler, addon }) => isOn(scheduler?.jobTemplate) || isOn(addon?.jobTemplate))
        .flatMap(({ name }) => name ?? []),
    cel: (self) => {
      const isSet = (where: string): string => `dyn(s).${where}.?jobTemplate.?spec.?hostNetwork.orValue(false) == true`;
      return `${self}.spec.sessions.filter(s, ${isSet('scheduler')} || ${isSet('addon')}).map(s, s.name)`;
    },
  };
}

/** What is asked of another kind, asked of what the backends of a configuration refer to. CEL cannot look it up. */
function through<T extends KubeObject>(
  check: Check<Draft<T>>,
  type: ResourceType<T>,
  refer: (backend: NonNullable<NonNullable<Configuration['spec']>['backends']>[number]) => Reference,
): Check<Configuration> {
  return {
    demand: check.demand,
    field: 'spec.backends',
    sentence: check.sentence,
    find: ({ spec }, around) =>
      (spec?.backends ?? []).flatMap((backend) => {
        const reference = refer(backend);
        if (reference?.name === undefined) return [];
        const namespace = reference.namespace ?? around.namespace;
        const found = around.lookup.get(type, namespace, reference.name);
        if (found === undefined) return [];
        const inside: Around = { ...around, namespace };
        const what = `${type.kind} ${namespace}/${reference.name}`;
        return check.find(found as Draft<T>, inside).map((one) => `${one} of ${what}`);
      }),
  };
}

/** The texts of a list for each session, as one list: flatten() is newer than the API servers that Backstay runs on. */
function flat(self: string, perSession: string): string {
  return `${self}.spec.sessions.map(s, ${perSession}.join("\\n")).join("\\n").split("\\n").filter(n, n != "")`;
}

function fullName(reference: Reference, namespace: string): string {
  return `${reference?.namespace ?? namespace}/${reference?.name ?? ''}`;
}
