import { createHash } from 'node:crypto';

/** Most archives that the dump of one server is written as. */
export const MAX_STREAMS = 8;

/** A collection from this size on, in bytes, is dealt out by its size. */
const LARGE = 16 * 1024 * 1024;

export interface SizedNamespace {
  /** "shop.orders" */
  name: string;
  /** By the statistics of the server; undefined where they are not known. */
  bytes: number | undefined;
}

/**
 * Deals collections out to archives, so that as few as possible change their place from one backup to the next: what moves is cut
 * anew by the repository at its two ends.
 *
 * A collection that is not large goes by the hash of its name, whatever else there is. Large ones, which make the difference, are dealt
 * out by size, the largest first, each to the archive that has least of them. Their sizes count as powers of two, so that growing does
 * not deal them anew until one has doubled.
 *
 * @returns the number of each one's archive, from 0, in the order given
 */
export function partition(namespaces: readonly SizedNamespace[], archives: number): number[] {
  const places = namespaces.map(({ name }) => hashOf(name) % archives);
  const large = namespaces
    .map(({ name, bytes = 0 }, index) => ({
      name,
      index,
      weight: bytes < LARGE ? 0 : 2 ** Math.floor(Math.log2(bytes)),
    }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight || (a.name < b.name ? -1 : 1));
  const loads = new Array<number>(archives).fill(0);
  for (const { index, weight } of large) {
    const least = loads.indexOf(Math.min(...loads));
    places[index] = least;
    loads[least] = (loads[least] ?? 0) + weight;
  }
  return places;
}

function hashOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0);
}
