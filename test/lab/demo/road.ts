/** What the demo prints: a line for each thing that happened, with the time since the start and how long it took. */
export class Road {
  readonly #started = performance.now();
  #last = this.#started;
  readonly #colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;

  /** A heading. */
  section(title: string): void {
    process.stdout.write(`\n${this.#paint('1', title)}\n`);
    this.#last = performance.now();
  }

  /** Something happened; `detail` says what it shows. */
  passed(what: string, detail = ''): void {
    const now = performance.now();
    const line = `${this.#paint('32', '✓')} ${what.padEnd(30)} ${detail}`;
    process.stdout.write(
      `${this.#paint('2', `${seconds(now - this.#started).padStart(7)}`)}  ${line} ${this.#paint('2', `+${seconds(now - this.#last)}`)}\n`,
    );
    this.#last = now;
  }

  /** Something to know, between the steps. */
  note(text: string): void {
    process.stdout.write(`${' '.repeat(9)}  ${this.#paint('2', text)}\n`);
  }

  /** Seconds since the start. */
  elapsed(): string {
    return seconds(performance.now() - this.#started);
  }

  #paint(code: string, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Bytes for a person: `41.2 MB`, in powers of ten as restic and disks have it. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
