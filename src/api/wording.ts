import { type Cause, joinPath, quote } from './causes.ts';
import { isRecord, valueAt } from './json.ts';
import type { Complaint, Schema } from './schema.ts';
import { schemaOf } from './structure.ts';
import { didYouMean } from './suggest.ts';

/** What the patterns of schemas/ ask for, in words. */
export const PATTERN_WORDS: Readonly<Record<string, string>> = {
  '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$': 'must be a duration such as 90s or 1h30m',
  '^([0-9]+(y|mo|w|d|h|m))+$': 'must be a period such as 30d or 1y6mo',
  '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$':
    'must be a qualified name such as Ready or example.com/Ready',
  '^(\\./)?[^/].*$|^\\./?$': 'must be a folder below the root of the repository, such as ./clusters/production',
  '^(https?://)?[^/@?#\\s]+(:[0-9]+)?/?$':
    'must be a URL without credentials and path, such as https://minio.example.com:9000',
  '^(https?|ssh)://[^\\s]+$': 'must be a URL that begins with https://, http:// or ssh://',
  '^https?://[^\\s]+$': 'must be a URL that begins with https://, such as https://git.example.com/api/v4',
  '^/': 'must begin with a slash',
  '^/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?$':
    'must be a path of letters, digits, dots, hyphens and underscores, such as shop/mongo',
  '^/[^:]+$': 'must begin with a slash and hold no colon',
  '^[0-9a-f]{40}([0-9a-f]{24})?$': 'must be 40 or 64 hexadecimal digits in lower case',
  '^[A-Z][A-Za-z0-9]*$': 'must be letters and digits that begin with a capital, such as AppBinding',
  '^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$':
    'must be letters, digits, "-", "_" and ".", beginning and ending with a letter or digit',
  '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$': 'must be one CamelCase word',
  '^[A-Za-z][A-Za-z0-9]*$': 'must be letters and digits that begin with a letter',
  '^[^/].*$': 'must not begin with a slash',
  '^[a-z0-9./-]+$': 'must be namespace/name',
  '^[A-Za-z0-9._*-]+$': 'must be letters, digits, dots, hyphens, underscores and * for any characters, such as corp-*',
  '^[a-z0-9.*-]+$': 'must be lower-case letters, digits, dots, hyphens and * for any characters, such as logical-*',
  '^[a-z0-9.*-]+/[a-z0-9.*-]+$': 'must be namespace/name, with * for any characters, such as platform/*',
  '^https?://[A-Za-z0-9.:*_-]+$':
    'must be a URL without credentials and path, with * for any characters, such as https://*.example.com',
  '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$':
    'must be lower-case letters, digits, hyphens and dots, with a letter or digit at both ends',
  '^[a-z0-9]+$': 'must be lower-case letters and digits',
  '^mongodb(\\+srv)?://[^@]+$':
    'must begin with mongodb:// or mongodb+srv:// and hold no credentials; put those into the Secret',
  '^refs/': 'must be a full reference such as refs/heads/main',
};

const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'a map of fields',
  array: 'a list',
  string: 'text (quote it in YAML)',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

/** A complaint of a generated validator as a cause, in words of our own. */
export function wordComplaint(schema: Schema, object: unknown, complaint: Complaint): Cause {
  const segments = complaint.instancePath
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  const { path, node } = locate(schema, object, segments);
  const value = valueAt(object, segments);
  const { keyword, params } = complaint;
  const limit = String(params.limit);
  const say = (reason: Cause['reason'], message: string): Cause => ({ field: path, reason, message });
  switch (keyword) {
    case 'required': {
      const name = String(params.missingProperty);
      return { field: joinPath(path, name), reason: 'FieldValueRequired', message: 'this field is required' };
    }
    case 'enum': {
      const allowed = (node?.enum ?? []).map(String);
      const message = `${quote(value)} is not supported: it must be one of ${allowed.map((one) => one || '""').join(', ')}`;
      return say('FieldValueNotSupported', message + (typeof value === 'string' ? didYouMean(value, allowed) : ''));
    }
    case 'type':
      return say(
        'FieldValueTypeInvalid',
        `it must be ${TYPE_WORDS[node?.type ?? ''] ?? node?.type}, not ${typeWords(value)}`,
      );
    case 'pattern':
      return say(
        'FieldValueInvalid',
        `${quote(value)} ${PATTERN_WORDS[node?.pattern ?? ''] ?? `must match ${node?.pattern}`}`,
      );
    case 'maxLength':
      return say('FieldValueTooLong', `it must be at most ${limit} characters long`);
    case 'minLength':
      return say(
        'FieldValueInvalid',
        limit === '1' ? 'it must not be empty' : `it must be at least ${limit} characters long`,
      );
    case 'maxItems':
      return say('FieldValueTooMany', `it must have at most ${limit} items`);
    case 'minItems':
      return say('FieldValueInvalid', `it must have at least ${limit} ${limit === '1' ? 'item' : 'items'}`);
    case 'maxProperties':
      return say('FieldValueTooMany', `it must have at most ${limit} entries`);
    case 'minProperties':
      return say('FieldValueInvalid', `it must have at least ${limit} entries`);
    case 'minimum':
    case 'exclusiveMinimum':
    case 'maximum':
    case 'exclusiveMaximum':
      return say('FieldValueInvalid', `${quote(value)} is out of bounds: it must be ${params.comparison} ${limit}`);
    default:
      return say('FieldValueInvalid', `${quote(value)} is not allowed`);
  }
}

function locate(schema: Schema, object: unknown, segments: string[]): { path: string; node: Schema | undefined } {
  let path = '';
  let node: Schema | undefined = schema;
  let value = object;
  for (const segment of segments) {
    const isItem = Array.isArray(value);
    path = joinPath(path, isItem ? Number(segment) : segment);
    node = isItem ? node?.items : node && schemaOf(node, segment);
    value = valueAt(value, [segment]);
  }
  return { path, node };
}

function typeWords(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return isRecord(value) ? 'a map of fields' : quote(value);
}
