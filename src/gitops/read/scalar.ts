import { BackstayError } from '../../api/errors.ts';

/** What a scalar may stand for. */
export type ScalarValue = string | number | boolean | null;

type Kind = 'null' | 'bool' | 'int' | 'float' | 'string';

const NAMED = new Map<string, ScalarValue>([
  ...['', '~', 'null', 'Null', 'NULL'].map((text): [string, null] => [text, null]),
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((text): [string, true] => [
    text,
    true,
  ]),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((text): [string, false] => [
    text,
    false,
  ]),
]);
const NOT_FINITE = /^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$/;

// What Go's strconv.ParseInt(text, 0, 64) takes once the underscores are gone: a leading zero is octal.
const INTEGERS: readonly (readonly [RegExp, number])[] = [
  [/^[-+]?0[xX]([0-9a-fA-F]+)$/, 16],
  [/^[-+]?0[bB]([01]+)$/, 2],
  [/^[-+]?0[oO]?([0-7]+)$/, 8],
  [/^[-+]?(0|[1-9][0-9]*)$/, 10],
];
const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;
// A scalar that begins with a point keeps its underscores.
const STARTS_A_NUMBER = /^[-+0-9]/;

const MAX_INT64 = 2n ** 64n - 1n;
const MIN_INT64 = -(2n ** 63n);

const TAGS: Readonly<Record<string, Kind>> = {
  'tag:yaml.org,2002:null': 'null',
  'tag:yaml.org,2002:bool': 'bool',
  'tag:yaml.org,2002:int': 'int',
  'tag:yaml.org,2002:float': 'float',
  'tag:yaml.org,2002:str': 'string',
};

/**
 * What a plain (unquoted) scalar means to sigs.k8s.io/yaml, the reader of kubectl, Flux and Argo CD: the booleans and octals of YAML
 * 1.1, `_` in numbers, no base 60, and dates stay text.
 *
 * Two things are refused that reader would let pass or blur: an integer that a JSON number of most programs cannot hold exactly, and a
 * number that is not finite.
 */
export function plainScalar(text: string): ScalarValue {
  const named = NAMED.get(text);
  if (named !== undefined) return named;
  if (NOT_FINITE.test(text)) throw invalid(`${text} is not a number that JSON has`, 'put it in quotes if it is text');
  if (text.startsWith('.')) return FLOAT.test(text) ? finite(text, text) : text;
  if (!STARTS_A_NUMBER.test(text)) return text;

  const digits = text.replaceAll('_', '');
  for (const [pattern, base] of INTEGERS) {
    const match = pattern.exec(digits);
    if (match?.[1] !== undefined) return integer(text, digits.startsWith('-'), match[1], base);
  }
  return FLOAT.test(digits) ? finite(text, digits) : text;
}

/**
 * What a scalar with an explicit tag means: the core tags of YAML only.
 *
 * @param tag as the YAML library resolved it, such as `tag:yaml.org,2002:int`; `!` alone makes text of anything
 */
export function taggedScalar(tag: string, text: string): ScalarValue {
  if (tag === '!') return text;
  const wanted = TAGS[tag];
  if (wanted === undefined) throw invalid(`the tag ${shortTag(tag)} is not one that Kubernetes knows`, 'remove it');
  if (wanted === 'string') return text;

  const value = plainScalar(text);
  const kind = kindOf(value);
  if (kind === wanted || (wanted === 'float' && kind === 'int')) return value;
  throw invalid(`\`${text}\` is not what its tag ${shortTag(tag)} says`, 'correct the value or remove the tag');
}

function integer(text: string, negative: boolean, digits: string, base: number): ScalarValue {
  const magnitude = BigInt({ 2: '0b', 8: '0o', 10: '', 16: '0x' }[base] + digits);
  const value = negative ? -magnitude : magnitude;
  if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  // Beyond 64 bits Go reads on as a float, but only what looks like a decimal.
  if ((value > MAX_INT64 || value < MIN_INT64) && base !== 10) return text;
  throw invalid(`${text} is too large to be read exactly`, 'put it in quotes if it is text');
}

/** A float; what is too large for one stays text, as in Go. */
function finite(text: string, digits: string): ScalarValue {
  const value = Number(digits);
  return Number.isFinite(value) ? value : text;
}

function kindOf(value: ScalarValue): Kind {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  return Number.isInteger(value) ? 'int' : 'float';
}

function shortTag(tag: string): string {
  return tag.replace('tag:yaml.org,2002:', '!!');
}

function invalid(message: string, remedy: string): BackstayError {
  return new BackstayError('InvalidYAML', message, { remedy });
}
