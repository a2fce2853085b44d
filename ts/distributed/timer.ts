/** A delay that does not keep Node's process alive. */
export class Timer {
  readonly #fire: () => void;
  #handle: ReturnType<typeof setTimeout> | null = null;

  constructor(fire: () => void) {
    this.#fire = fire;
  }

  /** Does nothing while it runs. */
  start(milliseconds: number): void {
    if (this.#handle !== null) {
      return;
    }
    const handle: unknown = setTimeout(() => {
      this.#handle = null;
      this.#fire();
    }, milliseconds);
    (handle as { unref?: () => void }).unref?.();
    this.#handle = handle as ReturnType<typeof setTimeout>;
  }

  stop(): void {
    if (this.#handle !== null) {
      clearTimeout(this.#handle);
      this.#handle = null;
    }
  }
}
