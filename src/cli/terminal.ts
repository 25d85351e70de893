import { nowAndThen, remainingSeconds } from '../mongo/pace.ts';

const REDRAW_MS = 100;
const SENTENCE_MS = 10_000;
const BAR_WIDTH = 20;

/**
 * What is seen of a dump or load: a bar that moves while it runs, on a terminal, or now and then a sentence, in a log; and what it has to say.
 * All on standard error.
 */
export class Terminal {
  readonly #level: number;
  readonly #since = performance.now();
  readonly #due = nowAndThen(process.stderr.isTTY === true ? REDRAW_MS : SENTENCE_MS);
  #drawn = false;

  /** @param level debug, info, warn, error or silent */
  constructor(level: string) {
    this.#level = LEVELS.indexOf(level);
  }

  say(level: 'debug' | 'info' | 'warn' | 'error', text: string): void {
    if (LEVELS.indexOf(level) < this.#level) return;
    this.clear();
    process.stderr.write(`backstay: ${text}\n`);
  }

  /** Draws the bar anew, ten times a second at most, or says how far it is, every ten seconds. */
  progress(progress: Progress): void {
    if (this.#level > LEVELS.indexOf('info') || !this.#due()) return;
    if (process.stderr.isTTY !== true) {
      this.say('info', progressSentence(progress, this.seconds));
      return;
    }
    this.#drawn = true;
    const line = progressBar(progress, this.seconds);
    process.stderr.write(`\r\u001b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  }

  /** Takes the moving line away. */
  clear(): void {
    if (this.#drawn) process.stderr.write('\r\u001b[K');
    this.#drawn = false;
  }

  get seconds(): number {
    return (performance.now() - this.#since) / 1000;
  }

  rate(bytes: number): string {
    return rate(bytes, this.seconds);
  }
}

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'];

export interface Progress {
  namespace: string;
  documents: number;
  bytes: number;
  collections: number;
  collectionsInAll: number;
  /** How much of the work is done, and how much it is, both in the same unit; the collections tell where that is not known. */
  share?: { done: number; inAll: number } | undefined;
}

/** "[=====     ]  25 %  250.0 MB  83.3 MB/s  9 s left  1/3 collections  250,000 documents  shop.orders", the most wanted first. */
export function progressBar(progress: Progress, seconds: number): string {
  const { namespace, documents, bytes, collections, collectionsInAll, share } = progress;
  const done = fraction(progress);
  const filled = Math.floor(done * BAR_WIDTH);
  const left = remainingSeconds(share?.done ?? 0, share?.inAll, seconds);
  return [
    `[${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}] ${String(Math.floor(done * 100)).padStart(3)} %`,
    size(bytes),
    rate(bytes, seconds),
    ...(left === undefined ? [] : [`${span(left)} left`]),
    `${collections}/${collectionsInAll} collections`,
    `${count(documents)} documents`,
    namespace,
  ].join('  ');
}

/** The same for a log. */
export function progressSentence(progress: Progress, seconds: number): string {
  const { documents, bytes, collections, collectionsInAll, share } = progress;
  const left = remainingSeconds(share?.done ?? 0, share?.inAll, seconds);
  const rest = left === undefined ? '' : `, ${span(left)} left`;
  return (
    `${Math.floor(fraction(progress) * 100)} %: ${collections} of ${counted(collectionsInAll, 'collection')}, ` +
    `${counted(documents, 'document')}, ${size(bytes)}, ${rate(bytes, seconds)}${rest}`
  );
}

function fraction({ collections, collectionsInAll, share }: Progress): number {
  const { done, inAll } = share ?? { done: collections, inAll: collectionsInAll };
  return inAll === 0 ? 0 : Math.min(1, done / inAll);
}

function rate(bytes: number, seconds: number): string {
  return `${size(bytes / Math.max(seconds, 0.001))}/s`;
}

/** Seconds as "9 s", "3 min 20 s" or "2 h 5 min". */
function span(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** 1234567 as "1,234,567". */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** Bytes in decimal units: "19.4 MB". */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** A number with its noun: "1 collection", "2 collections". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : noun.endsWith('x') ? 'es' : 's'}`;
}
