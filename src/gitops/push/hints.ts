/** Carries hints from a receiver to the controller, whichever of the two is there first. */
export class Hints {
  #listener: ((key: string) => void) | undefined;

  /** @param listener told the key, `namespace/name`, of each PolicySync whose repository may have something new */
  listen(listener: (key: string) => void): void {
    this.#listener = listener;
  }

  /** Without a listener it is lost: the commit is found at the next interval. */
  give(key: string): void {
    this.#listener?.(key);
  }
}
