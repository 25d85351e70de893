/** JSON with objects as maps, so that keys keep the order of the text whatever they look like. */
export type Json = null | boolean | number | string | Json[] | Map<string, Json>;

/** Values nest this deep at most; BSON itself stops at 100 on a server. */
const MAX_DEPTH = 250;

/**
 * Parses JSON text (RFC 8259). The text is checked by JSON.parse first, so the walk below meets valid JSON only.
 *
 * @throws SyntaxError
 */
export function parseJson(source: string): Json {
  JSON.parse(source);
  const tokens = source.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/gu);
  const next = (): string => tokens.next().value?.[0] ?? '';

  const value = (token: string, depth: number): Json => {
    if (depth > MAX_DEPTH) throw new SyntaxError('JSON is nested too deeply');
    if (token === '{') return object(depth);
    if (token === '[') return array(depth);
    return JSON.parse(token) as null | boolean | number | string;
  };
  const object = (depth: number): Json => {
    const map = new Map<string, Json>();
    for (let token = next(); token !== '}'; token = next()) {
      if (token === ',') continue;
      const key = JSON.parse(token) as string;
      next(); // the colon
      map.set(key, value(next(), depth + 1));
    }
    return map;
  };
  const array = (depth: number): Json => {
    const items: Json[] = [];
    for (let token = next(); token !== ']'; token = next()) {
      if (token !== ',') items.push(value(token, depth + 1));
    }
    return items;
  };
  return value(next(), 0);
}
