/** What a node has done since its start. Times are Unix milliseconds. */
export class Activity {
  readonly startedAtMs: number;
  #published = { changes: 0, lastAtMs: undefined as number | undefined };
  #appliedAtMs: number | undefined;

  constructor(startedAtMs: number) {
    this.startedAtMs = startedAtMs;
  }

  get published(): { readonly changes: number; readonly lastAtMs: number | undefined } {
    return this.#published;
  }

  get appliedAtMs(): number | undefined {
    return this.#appliedAtMs;
  }

  /** When anything was done last. */
  get lastAtMs(): number {
    return Math.max(this.startedAtMs, this.#published.lastAtMs ?? 0, this.#appliedAtMs ?? 0);
  }

  notePublished(changes: number): void {
    this.#published = { changes: this.#published.changes + changes, lastAtMs: Date.now() };
  }

  noteApplied(): void {
    this.#appliedAtMs = Date.now();
  }
}
