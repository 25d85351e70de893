import { MutatingWebhookConfigurations, ValidatingWebhookConfigurations } from '../src/kube/builtin.ts';
import type { Client } from '../src/kube/client.ts';

// A field manager of its own owns the caBundle and nothing else: tools that apply the rest of the configuration do not fight over it.
const FIELD_MANAGER = 'backstay-webhook-ca';

/**
 * Makes the API server verify the webhook with a bundle of authorities.
 *
 * @returns kinds of configurations that do not exist (yet)
 */
export async function publishBundle(
  client: Pick<Client, 'get' | 'apply'>,
  name: string,
  bundle: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const caBundle = Buffer.from(bundle).toString('base64');
  const request = signal === undefined ? {} : { signal };
  const absent: string[] = [];
  for (const type of [MutatingWebhookConfigurations, ValidatingWebhookConfigurations]) {
    const live = await client.get(type, { name }, request);
    if (live === undefined) {
      absent.push(type.kind);
      continue;
    }
    const webhooks = live.webhooks ?? [];
    if (webhooks.every((webhook) => webhook.clientConfig?.caBundle === caBundle)) continue;
    const wanted = webhooks.map((webhook) => ({ name: webhook.name, clientConfig: { caBundle } }));
    // The uid makes it an update: an apply must not bring a configuration back that was deleted meanwhile.
    const metadata = { name, ...(live.metadata.uid === undefined ? {} : { uid: live.metadata.uid }) };
    await client.apply(type, { metadata, webhooks: wanted }, { ...request, fieldManager: FIELD_MANAGER, force: true });
  }
  return absent;
}
