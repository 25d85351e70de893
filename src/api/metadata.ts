import { type Cause, quote } from './causes.ts';
import { API_VERSION } from './group.ts';
import { isRecord } from './json.ts';
import { KINDS, type Kind } from './kinds.ts';

// Rules of validation.IsDNS1123Subdomain, IsDNS1123Label, IsQualifiedName and IsValidLabelValue of apimachinery.
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED_NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const ANNOTATIONS_BYTES = 262_144;

/** What is wrong with the envelope of an object: apiVersion, kind, and the metadata that the API server would refuse. */
export function checkMetadata(kind: Kind, object: Record<string, unknown>): Cause[] {
  const causes: Cause[] = [];
  const say = (field: string, reason: Cause['reason'], message: string): number =>
    causes.push({ field, reason, message });
  if (object.apiVersion !== API_VERSION) {
    say(
      'apiVersion',
      'FieldValueNotSupported',
      `${quote(object.apiVersion)} is not supported: it must be ${API_VERSION}`,
    );
  }
  const { metadata } = object;
  if (!isRecord(metadata)) {
    say('metadata', 'FieldValueRequired', 'this field is required');
    return causes;
  }
  const { name, generateName, namespace, labels, annotations } = metadata;
  if (name === undefined || name === '') {
    if (typeof generateName !== 'string') say('metadata.name', 'FieldValueRequired', 'this field is required');
  } else if (typeof name !== 'string' || name.length > 253 || !SUBDOMAIN.test(name)) {
    const words = 'must be lower-case letters, digits, hyphens and dots, at most 253 characters';
    say('metadata.name', 'FieldValueInvalid', `${quote(name)} ${words}`);
  }
  if (namespace !== undefined && namespace !== '') {
    if (!KINDS[kind].namespaced) say('metadata.namespace', 'FieldValueForbidden', `a ${kind} has no namespace`);
    else if (typeof namespace !== 'string' || namespace.length > 63 || !LABEL.test(namespace)) {
      const words = 'must be lower-case letters, digits and hyphens, at most 63 characters';
      say('metadata.namespace', 'FieldValueInvalid', `${quote(namespace)} ${words}`);
    }
  }
  causes.push(
    ...checkEntries('metadata.labels', labels, true),
    ...checkEntries('metadata.annotations', annotations, false),
  );
  return causes;
}

function checkEntries(field: string, entries: unknown, areLabels: boolean): Cause[] {
  if (entries === undefined || entries === null) return [];
  if (!isRecord(entries)) return [{ field, reason: 'FieldValueTypeInvalid', message: 'it must be a map of text' }];
  const causes: Cause[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(entries)) {
    const at = `${field}[${key.slice(0, 80)}]`;
    if (!isQualifiedName(key))
      causes.push({
        field: at,
        reason: 'FieldValueInvalid',
        message: 'the key must be a name such as app or example.com/app',
      });
    if (typeof value !== 'string') {
      causes.push({ field: at, reason: 'FieldValueTypeInvalid', message: 'it must be text (quote it in YAML)' });
    } else if (areLabels && (value.length > 63 || (value !== '' && !QUALIFIED_NAME.test(value)))) {
      const message = `${quote(value)} must be letters, digits, hyphens, dots and underscores, at most 63 characters`;
      causes.push({ field: at, reason: 'FieldValueInvalid', message });
    } else bytes += key.length + value.length;
  }
  if (!areLabels && bytes > ANNOTATIONS_BYTES) {
    causes.push({
      field,
      reason: 'FieldValueTooLong',
      message: `all annotations together may have ${ANNOTATIONS_BYTES} bytes`,
    });
  }
  return causes;
}

function isQualifiedName(key: string): boolean {
  const [first = '', second, ...rest] = key.split('/');
  if (rest.length > 0) return false;
  const name = second ?? first;
  const prefixed = second === undefined || (first.length <= 253 && SUBDOMAIN.test(first.toLowerCase()));
  return prefixed && name.length <= 63 && QUALIFIED_NAME.test(name);
}
