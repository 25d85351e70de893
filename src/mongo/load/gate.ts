/** Holds several that work side by side until each has come as far, or one has failed. */
export class Gate {
  readonly #open = Promise.withResolvers<void>();
  readonly #whenAll: () => Promise<void>;
  #missing: number;

  /** @param whenAll runs once all are there, and before they go on; when it throws, none does */
  constructor(parties: number, whenAll: () => Promise<void>) {
    this.#missing = parties;
    this.#whenAll = whenAll;
    this.#open.promise.catch(() => {}); // nobody may be waiting
  }

  async arrive(): Promise<void> {
    this.#missing -= 1;
    if (this.#missing === 0) this.#whenAll().then(this.#open.resolve, this.#open.reject);
    await this.#open.promise;
  }

  /** Those that wait, and those that come, fail with this. */
  fail(error: unknown): void {
    this.#open.reject(error);
  }
}
