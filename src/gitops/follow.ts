import { join } from 'node:path';
import { BackstayError } from '../api/errors.ts';
import type { PolicySync } from '../api/generated/types.ts';
import { Secrets } from '../kube/builtin.ts';
import type { Client } from '../kube/client.ts';
import type { DesiredOptions } from './desired.ts';
import type { KustomizeProgram } from './kustomize/build.ts';
import { markOf } from './ownership.ts';
import type { ReadRevision, RevisionReader } from './revision-reader.ts';
import { type AgeIdentity, identitiesOf } from './sops/identities.ts';
import { type Access, accessOf, NO_ACCESS } from './source/access.ts';
import { openGitSource } from './source/git-source.ts';
import { formatRevision, referenceOf } from './source/reference.ts';
import type { Source } from './source/source.ts';
import { parseRepositoryURL, type RepositoryURL } from './source/url.ts';
import { trustedKeysOf, type Verification } from './source/verify.ts';

/** What reading needs of its surroundings. */
export interface Reading {
  /** For Secrets. */
  client: Pick<Client, 'get'>;
  reader: RevisionReader;
  validate: DesiredOptions['validate'];
  /** Folder that copies of repositories are kept in. */
  folder: string;
  /** What builds a folder with a kustomization; `kustomize build` unless given. */
  kustomize?: KustomizeProgram | undefined;
  /** Told which revision is followed now, before it is read: also when it cannot be. */
  noticed?: ((revision: string) => void) | undefined;
}

/** Reads and judges what a PolicySync follows. Fails when it cannot be read; what is wrong with its content is in the answer. */
export async function readRevision(
  policySync: PolicySync,
  surroundings: Reading,
  signal: AbortSignal,
): Promise<ReadRevision> {
  const { namespace, name, id } = identityOf(policySync);
  const options = {
    mark: markOf({ namespace, name }),
    namespace: policySync.spec.targetNamespace ?? namespace,
    decryption: policySync.spec.decryption !== undefined,
    validate: surroundings.validate,
  };
  const verification = await readVerification(policySync, surroundings, signal);
  const source = await openSource(policySync, verification, surroundings, signal);
  try {
    return await surroundings.reader.read(id, source, policySync, options, verification, signal);
  } finally {
    await source.close();
  }
}

async function openSource(
  policySync: PolicySync,
  verification: Verification | undefined,
  surroundings: Reading,
  signal: AbortSignal,
): Promise<Source> {
  const { spec, status } = policySync;
  const url = parseRepositoryURL(spec.url);
  const reference = referenceOf(spec.ref);
  const access = await readAccess(policySync, url, surroundings, signal);
  const folder = join(surroundings.folder, identityOf(policySync).id);
  const { kustomize, noticed } = surroundings;
  const lastApplied = status?.lastAppliedRevision;
  const source = await openGitSource({ url, reference, access, folder, kustomize, verification, lastApplied });
  return {
    head: async (during) => {
      const head = await source.head(during);
      noticed?.(formatRevision(head));
      return head;
    },
    read: (...args) => source.read(...args),
    close: () => source.close(),
  };
}

async function readAccess(
  policySync: PolicySync,
  url: RepositoryURL,
  surroundings: Reading,
  signal: AbortSignal,
): Promise<Access> {
  const { secretRef } = policySync.spec;
  if (secretRef === undefined) {
    if (url.transport !== 'ssh') return NO_ACCESS;
    throw new BackstayError('SecretNotFound', 'spec.secretRef is missing: ssh needs a key and the keys of the host', {
      remedy: 'name a Secret with identity and known_hosts',
    });
  }
  const { data, where } = await readSecret(policySync, secretRef.name, 'spec.secretRef', surroundings, signal);
  return accessOf(data, url, where);
}

async function readVerification(
  policySync: PolicySync,
  surroundings: Reading,
  signal: AbortSignal,
): Promise<Verification | undefined> {
  const { verify } = policySync.spec;
  if (verify === undefined) return undefined;
  const field = 'spec.verify.secretRef';
  const { data, where } = await readSecret(policySync, verify.secretRef.name, field, surroundings, signal);
  return { mode: verify.mode ?? 'HEAD', keys: trustedKeysOf(data, where) };
}

/** The keys that Secrets of a commit are decrypted with. Asked for each time: they are never kept. */
export async function readIdentities(
  policySync: PolicySync,
  surroundings: Pick<Reading, 'client'>,
  signal: AbortSignal,
): Promise<AgeIdentity[]> {
  const { decryption } = policySync.spec;
  if (decryption === undefined) return [];
  const field = 'spec.decryption.secretRef';
  const { data, where } = await readSecret(policySync, decryption.secretRef.name, field, surroundings, signal);
  return identitiesOf(data, where);
}

/** The data of a Secret in the namespace of the PolicySync, base64; `field` is what names it, for messages. */
export async function readSecret(
  { metadata }: PolicySync,
  name: string,
  field: string,
  { client }: Pick<Reading, 'client'>,
  signal: AbortSignal,
): Promise<{ data: Readonly<Record<string, string>>; where: string }> {
  const where = `${metadata.namespace}/${name}`;
  const secret = await client.get(Secrets, { namespace: metadata.namespace, name }, { signal });
  if (secret === undefined) {
    throw new BackstayError('SecretNotFound', `Secret ${where}, which ${field} names, does not exist`, {
      remedy: `create it or correct ${field}`,
    });
  }
  return { data: secret.data ?? {}, where };
}

export function identityOf({ metadata }: PolicySync): { namespace: string; name: string; id: string } {
  const { namespace = '', name = '', uid } = metadata;
  return { namespace, name, id: uid ?? `${namespace}.${name}` };
}
