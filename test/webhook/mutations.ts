import { inspect } from 'node:util';
import type { Loose } from '../api/objects.ts';

/** A source of numbers from 0 to 1 that gives the same ones for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const ODDITIES: readonly (() => unknown)[] = [
  () => null,
  () => 0,
  () => -1,
  () => 1e308,
  () => Number.MAX_SAFE_INTEGER + 1,
  () => '',
  () => 'x'.repeat(5000),
  () => '\u0000\ud800é\u202e😀',
  () => `${'a'.repeat(50)}!`,
  () => '9'.repeat(400),
  () => true,
  () => [],
  () => ({}),
  () => [null],
  () => JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":1}'),
  () => Array.from({ length: 300 }, (_, index) => index),
  () => Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`k${index}`, index])),
  () => nested(150),
  () => nested(1500),
];

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? { a: value } : [value];
  return value;
}

/** The object with one to four things changed at random: a value replaced, removed, doubled or moved to another place. */
export function mutated(object: Loose, random: () => number): Loose {
  const root = { object: structuredClone(object) };
  const times = 1 + Math.floor(random() * 4);
  for (let time = 0; time < times; time++) {
    const places = placesOf(root);
    const place = places[Math.floor(random() * places.length)];
    if (place === undefined) continue;
    const { parent, key } = place;
    const kind = random();
    if (kind < 0.6) parent[key] = ODDITIES[Math.floor(random() * ODDITIES.length)]?.();
    else if (kind < 0.75 && parent !== root) Array.isArray(parent) ? parent.splice(Number(key), 1) : delete parent[key];
    else if (kind < 0.85 && Array.isArray(parent[key])) parent[key].push(...parent[key]);
    else {
      const other = places[Math.floor(random() * places.length)];
      if (other !== undefined) parent[key] = copyOf(other.parent[other.key]);
    }
  }
  return root.object;
}

/** A copy; none of what is nested deeper than a copy or a message could be, after it was put into itself again and again. */
function copyOf(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Every value of an object, by its parent and key. */
function placesOf(root: Loose): { parent: Loose; key: string }[] {
  const found: { parent: Loose; key: string }[] = [];
  const pending: Loose[] = [root];
  while (pending.length > 0 && found.length < 2000) {
    const parent = pending.pop();
    for (const key of Object.keys(parent)) {
      found.push({ parent, key });
      if (typeof parent[key] === 'object' && parent[key] !== null) pending.push(parent[key]);
    }
  }
  return found;
}

/** A value in a line, for a message. */
export function brief(value: unknown): string {
  return inspect(value, { depth: 3, breakLength: Number.POSITIVE_INFINITY }).slice(0, 400);
}
