import { BackstayError } from '../../api/errors.ts';
import type { PolicySync } from '../../api/generated/types.ts';
import type { Client } from '../../kube/client.ts';
import { readSecret } from '../follow.ts';
import { oneLine } from '../source/access.ts';
import { parseRepositoryURL, type RepositoryURL } from '../source/url.ts';
import { statusAPI } from './api.ts';
import type { Report } from './report.ts';
import { statusRequest } from './request.ts';
import { type SendLimits, sendStatus } from './send.ts';

const SECRET_FIELD = 'spec.commitStatus.secretRef';

/** Tells the git server of a PolicySync about a commit. Does nothing without spec.commitStatus. Fails with a BackstayError. */
export async function deliver(
  policySync: PolicySync,
  report: Report,
  { client, limits }: { client: Pick<Client, 'get'>; limits?: SendLimits | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { commitStatus } = policySync.spec;
  if (commitStatus === undefined) return;
  const { provider, apiURL, secretRef } = commitStatus;
  const url = parseRepositoryURL(policySync.spec.url);
  const api = statusAPI(provider, url, apiURL);
  const { data, where } = await readSecret(policySync, secretRef.name, SECRET_FIELD, { client }, signal);
  const written = text(data.token);
  if (written === undefined) {
    throw new BackstayError('SecretKeyMissing', `Secret ${where} has no key token: it is what may write statuses`, {
      remedy: 'add token to it',
    });
  }
  const token = oneLine(written, where, 'token');
  const certificateAuthority =
    text(data['ca.crt']) ?? text(data.caFile) ?? (await repositoryCA(policySync, url, api.base, client, signal));
  await sendStatus(statusRequest(api, report, token), { provider, token, certificateAuthority, limits }, signal);
}

/** The authority that the repository itself is read with, where the API is on the same host. */
async function repositoryCA(
  policySync: PolicySync,
  { transport, href }: RepositoryURL,
  base: string,
  client: Pick<Client, 'get'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { secretRef } = policySync.spec;
  if (secretRef === undefined || transport !== 'https' || new URL(href).hostname !== new URL(base).hostname)
    return undefined;
  const { data } = await readSecret(policySync, secretRef.name, 'spec.secretRef', { client }, signal);
  return text(data['ca.crt']) ?? text(data.caFile);
}

function text(base64: string | undefined): string | undefined {
  const decoded = base64 === undefined ? '' : Buffer.from(base64, 'base64').toString('utf8');
  return decoded === '' ? undefined : decoded;
}
