import type { BackupPolicyRule, BackupStorage } from '../generated/types.ts';
import type { Draft } from '../rules/rule.ts';
import { type Check, literal } from './check.ts';
import { asRE2, matchesAny } from './pattern.ts';

type Demands = BackupPolicyRule['spec']['demands'];
type Storage = Draft<BackupStorage>;

// What restic reaches when no endpoint is given.
const AWS = 'https://s3.amazonaws.com';

/** What demands ask of a BackupStorage. */
export function storageChecks(demands: Demands): Check<Storage>[] {
  const { providers, buckets, endpoints, encryptedTransport, noHostPath } = demands;
  return [
    ...(providers === undefined ? [] : [providerCheck(providers)]),
    ...(buckets === undefined ? [] : [bucketCheck(buckets)]),
    ...(endpoints === undefined ? [] : [endpointCheck(endpoints)]),
    ...(encryptedTransport === true ? [transportCheck()] : []),
    ...(noHostPath === true ? [hostPathCheck()] : []),
  ];
}

function providerCheck(providers: readonly string[]): Check<Storage> {
  return {
    demand: 'providers',
    field: 'spec.storage.provider',
    sentence: `allows the providers ${providers.join(', ')}, not`,
    find: ({ spec }) => {
      const provider = spec?.storage?.provider;
      return provider === undefined || providers.includes(provider) ? [] : [provider];
    },
    cel: (self) =>
      `${self}.spec.storage.provider in ${literal(providers)} ? [] : [string(${self}.spec.storage.provider)]`,
  };
}

function bucketCheck(buckets: readonly string[]): Check<Storage> {
  return {
    demand: 'buckets',
    field: 'spec.storage',
    sentence: `allows the buckets ${buckets.join(', ')}, not`,
    find: ({ spec }) => {
      const { s3, gcs, azure } = spec?.storage ?? {};
      return [s3?.bucket, gcs?.bucket, azure?.container].filter(
        (name) => name !== undefined && !matchesAny(buckets, name),
      ) as string[];
    },
    cel: (self) => {
      const storage = `${self}.spec.storage`;
      const given = ['?s3.?bucket', '?gcs.?bucket', '?azure.?container'].map(
        (path) => `[${storage}.${path}.orValue("")]`,
      );
      return `(${given.join(' + ')}).filter(b, b != "" && !b.matches(${literal(asRE2(buckets))}))`;
    },
  };
}

function endpointCheck(endpoints: readonly string[]): Check<Storage> {
  return {
    demand: 'endpoints',
    field: 'spec.storage.s3.endpoint',
    sentence: `allows the endpoints ${endpoints.join(', ')}, not`,
    find: ({ spec }) => {
      const s3 = spec?.storage?.s3;
      if (s3 === undefined) return [];
      const endpoint = urlOf(s3.endpoint ?? AWS);
      return matchesAny(endpoints, endpoint) ? [] : [endpoint];
    },
    cel: (self) => {
      const given = `${self}.spec.storage.s3.?endpoint.orValue(${literal(AWS)})`;
      const url = `[${given}].map(e, e.contains("://") ? e : "https://" + e).map(e, e.endsWith("/") ? e.substring(0, size(e) - 1) : e)`;
      return `has(${self}.spec.storage.s3) ? ${url}.filter(e, !e.matches(${literal(asRE2(endpoints))})) : []`;
    },
  };
}

function transportCheck(): Check<Storage> {
  return {
    demand: 'encryptedTransport',
    field: 'spec.storage.s3',
    sentence: 'demands verified TLS to the storage, and against it is',
    find: ({ spec }) => {
      const { endpoint, insecureTLS } = spec?.storage?.s3 ?? {};
      return [
        ...(endpoint?.startsWith('http://') === true ? ['the endpoint with http'] : []),
        ...(insecureTLS === true ? ['insecureTLS'] : []),
      ];
    },
    cel: (self) => {
      const s3 = `${self}.spec.storage.?s3`;
      return (
        `(${s3}.?endpoint.orValue("").startsWith("http://") ? ["the endpoint with http"] : [])` +
        ` + (${s3}.?insecureTLS.orValue(false) ? ["insecureTLS"] : [])`
      );
    },
  };
}

function hostPathCheck(): Check<Storage> {
  return {
    demand: 'noHostPath',
    field: 'spec.storage.local.hostPath',
    sentence: 'allows no folder of a node, and here is',
    find: ({ spec }) => spec?.storage?.local?.hostPath?.path?.split('\n', 1) ?? [],
    cel: (self) => {
      const path = `${self}.spec.storage.?local.?hostPath.?path`;
      return `${path}.hasValue() ? [${path}.orValue("").split("\\n")[0]] : []`;
    },
  };
}

function urlOf(endpoint: string): string {
  return (endpoint.includes('://') ? endpoint : `https://${endpoint}`).replace(/\/$/, '');
}
