import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { tool } from '../../scripts/tools/tool.ts';
import { type CustomResourceDefinition, CustomResourceDefinitions } from '../../src/kube/builtin.ts';
import type { Client } from '../../src/kube/client.ts';
import { until } from '../lab/process.ts';

const folder = join(import.meta.dirname, '../../manifests/crds');

/** The generated CRDs. */
export function readCrds(): CustomResourceDefinition[] {
  const files = readdirSync(folder).filter((file) => file !== 'kustomization.yaml');
  return files.map((file) => parse(readFileSync(join(folder, file), 'utf8')));
}

/** Installs the CRDs and waits until their kinds are served. @returns them as the API server has them */
export async function installCrds(client: Client): Promise<CustomResourceDefinition[]> {
  const crds = readCrds();
  for (const crd of crds) await client.apply(CustomResourceDefinitions, crd, { fieldManager: 'test', force: true });
  return await until('the kinds are established', async () => {
    const live = await client.listAll(CustomResourceDefinitions);
    const ready = ({ status }: CustomResourceDefinition) =>
      status?.conditions?.some(({ type, status: yes }) => type === 'Established' && yes === 'True') === true;
    return live.length === crds.length && live.every(ready) ? live : false;
  });
}

/** Runs kubectl. @returns what it says and how it ended */
export async function kubectl(
  kubeconfig: string,
  args: readonly string[],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const program = await tool('kubernetes');
  try {
    const output = await promisify(execFile)(program, ['kubectl', '--kubeconfig', kubeconfig, ...args]);
    return { code: 0, ...output };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}
