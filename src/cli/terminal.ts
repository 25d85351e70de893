/** What a person at the terminal sees of a dump or load: a line that moves while it runs, and sentences. All on standard error. */
export class Terminal {
  readonly #level: number;
  readonly #since = performance.now();
  #drawnAt = 0;
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

  /** Draws the line anew, ten times a second at most, when there is a terminal. */
  progress({ namespace, documents, bytes, collections, collectionsInAll }: Progress): void {
    const now = performance.now();
    if (process.stderr.isTTY !== true || this.#level > LEVELS.indexOf('info') || now - this.#drawnAt < 100) return;
    this.#drawnAt = now;
    this.#drawn = true;
    const width = 20;
    const filled = collectionsInAll === 0 ? 0 : Math.floor((collections / collectionsInAll) * width);
    const bar = `[${'='.repeat(filled)}${' '.repeat(width - filled)}]`;
    const line = `${bar} ${collections}/${collectionsInAll} collections, ${count(documents)} documents, ${size(bytes)}, ${this.rate(bytes)}  ${namespace}`;
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
    return `${size(bytes / Math.max(this.seconds, 0.001))}/s`;
  }
}

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'];

export interface Progress {
  namespace: string;
  documents: number;
  bytes: number;
  collections: number;
  collectionsInAll: number;
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
