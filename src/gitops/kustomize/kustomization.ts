import { joinPath } from '../../api/causes.ts';
import { isRecord } from '../../api/json.ts';
import type { ValuePath } from '../read/yaml.ts';

/** The names that kustomize looks for in a folder, in this order. */
export const KUSTOMIZATION_NAMES = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'] as const;

/** Something that a kustomization is made of. */
export interface Part {
  /** Where it is named. */
  at: ValuePath;
  /** As it is written there: relative to the kustomization's folder. */
  path: string;
  /** Whether a folder with a kustomization of its own may stand there. */
  mayBeFolder: boolean;
}

/** Something in a kustomization that is not built. */
export interface Refusal {
  at: ValuePath;
  message: string;
}

// Fields whose items are files or folders (kustomize's Kustomization, v1beta1; `bases` is its former way to say it).
const ACCUMULATED = ['resources', 'bases', 'components'];
const PLUGINS = ['generators', 'transformers', 'validators'];
const FILES = ['crds', 'configurations'];
const PATCHES = ['patches', 'patchesJson6902', 'replacements'];
const GENERATORS = ['configMapGenerator', 'secretGenerator'];
const HELM = ['helmCharts', 'helmChartInflationGenerator'];

/**
 * What kustomize would read from where: a schema, user@host: and ?ref= of a git address, and the one host that it knows by its bare name.
 * Not one of them may be a file's path here, lest kustomize and we mean different things.
 */
const REMOTE = /:|\?|^git@|^github\.com/i;

/**
 * The files and folders that a kustomization refers to, and what of it is not built: charts, and whatever is not in the repository.
 *
 * @param written the kustomization as it was read; wrong types are left for kustomize to complain about
 */
export function partsOf(written: Readonly<Record<string, unknown>>): { parts: Part[]; refusals: Refusal[] } {
  const found: Part[] = [];
  const refusals: Refusal[] = HELM.filter((field) => written[field] !== undefined).map((field) => ({
    at: [field],
    message: `${field} is not built: a chart runs programs and is fetched; commit what helm template prints`,
  }));
  const add = (at: ValuePath, path: unknown, mayBeFolder = false): void => {
    // More than one line, or a map in braces, is the thing itself.
    if (typeof path !== 'string' || path.trim().includes('\n') || path.trim().startsWith('{')) return;
    found.push({ at, path: path.trim(), mayBeFolder });
  };
  const each = (field: string, visit: (item: unknown, at: ValuePath) => void): void => {
    const items = written[field];
    if (Array.isArray(items)) for (const [index, item] of items.entries()) visit(item, [field, index]);
  };
  for (const field of [...ACCUMULATED, ...PLUGINS]) each(field, (item, at) => add(at, item, true));
  for (const field of FILES) each(field, (item, at) => add(at, item));
  each('patchesStrategicMerge', (item, at) => add(at, item));
  for (const field of PATCHES) each(field, (item, at) => isRecord(item) && add([...at, 'path'], item.path));
  for (const field of GENERATORS) {
    each(field, (item, at) => {
      if (!isRecord(item)) return;
      add([...at, 'env'], item.env);
      if (Array.isArray(item.envs)) for (const [index, path] of item.envs.entries()) add([...at, 'envs', index], path);
      if (!Array.isArray(item.files)) return;
      // `key=path`, or a path whose last part is the key.
      for (const [index, file] of item.files.entries())
        add([...at, 'files', index], typeof file === 'string' ? file.slice(file.indexOf('=') + 1) : file);
    });
  }
  if (isRecord(written.openapi)) add(['openapi', 'path'], written.openapi.path);

  const parts = found.filter(({ at, path }) => {
    const message = whyForeign(path);
    if (message !== undefined) refusals.push({ at, message });
    return message === undefined;
  });
  return { parts, refusals };
}

function whyForeign(path: string): string | undefined {
  if (REMOTE.test(path))
    return `${path} is not in this repository: nothing is fetched from elsewhere; commit a copy of it`;
  return path.startsWith('/') ? `${path} is no path in this repository; write it relative to this file` : undefined;
}

/** The dotted form of a place, for people. */
export function fieldOf(at: ValuePath): string {
  return at.reduce<string>(joinPath, '');
}
