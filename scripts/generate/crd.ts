import { stringify } from 'yaml';
import { API_GROUP, VERSION } from '../../src/api/group.ts';
import type { Schema } from '../../src/api/schema.ts';
import type { KindSource } from './source.ts';

const HEAD = '# Generated from schemas/ by `npm run generate`. Do not edit.\n';

// Of metadata a CRD may say no more than its type; the API server describes it.
const TYPE_META: Record<string, Schema> = {
  apiVersion: { description: 'API version of the object: the group and version of its schema.', type: 'string' },
  kind: { description: 'Kind of the object, in CamelCase.', type: 'string' },
  metadata: { type: 'object' },
};

/** The CustomResourceDefinition of a kind as YAML that YAML 1.1 and 1.2 readers read alike. */
export function generateCrd(kind: KindSource): string {
  // A YAML 1.1 reader takes a plain `on` for true; the writer then quotes it.
  const yaml = stringify(crd(kind), { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false });
  return `${HEAD}${yaml}`;
}

/** The kustomization that names all CustomResourceDefinitions. */
export function generateKustomization(kinds: readonly KindSource[]): string {
  const resources = kinds.map((kind) => `${kind.plural}.${API_GROUP}.yaml`).sort();
  return `${HEAD}${stringify({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources })}`;
}

/** The CustomResourceDefinition of a kind as an object. */
export function crd(kind: KindSource): object {
  const { status, ...described } = kind.schema.properties ?? {};
  const schema = lower({ ...kind.schema, properties: described }, true);
  const properties = {
    ...TYPE_META,
    ...(schema.properties as object),
    ...(status && { status: lower(status, false) }),
  };
  const hasStatus = kind.schema.properties?.status !== undefined;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${kind.plural}.${API_GROUP}`,
      labels: { 'app.kubernetes.io/name': 'backstay', 'app.kubernetes.io/part-of': 'backstay' },
    },
    spec: {
      group: API_GROUP,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
        categories: kind.categories,
      },
      scope: kind.scope === 'Cluster' ? 'Cluster' : 'Namespaced',
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          ...(hasStatus ? { subresources: { status: {} } } : {}),
          additionalPrinterColumns: kind.printerColumns,
          schema: {
            openAPIV3Schema: { ...schema, properties },
          },
        },
      ],
    },
  };
}

/**
 * JSON Schema 2020-12 as OpenAPI 3.0 says it: there exclusive bounds are flags beside minimum and maximum.
 *
 * Where `open`, the API server keeps fields that the schema does not know. Otherwise it would drop a misspelt one without a word (or stop a
 * strict client at it, before anything else is looked at); so the webhook refuses it beside everything else that is wrong, and where there
 * is no webhook the operator still sees it and says so.
 */
function lower(schema: Schema, open: boolean): Record<string, unknown> {
  const { exclusiveMinimum, exclusiveMaximum, properties, items, additionalProperties, ...rest } = schema;
  return {
    ...rest,
    ...(open && properties !== undefined ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
    ...(exclusiveMinimum === undefined ? {} : { minimum: exclusiveMinimum, exclusiveMinimum: true }),
    ...(exclusiveMaximum === undefined ? {} : { maximum: exclusiveMaximum, exclusiveMaximum: true }),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(Object.entries(properties).map(([key, child]) => [key, lower(child, open)])),
        }),
    ...(items === undefined ? {} : { items: lower(items, open) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: lower(additionalProperties, open) }),
  };
}
