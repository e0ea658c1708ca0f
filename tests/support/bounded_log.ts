const MAX_LINES = 5_000;

/** The last lines of what a process wrote: enough to explain a failure, never enough to fill the memory. */
export class BoundedLog {
  readonly #name: string;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<() => void>();
  #droppedLines = 0;
  #ended = false;

  constructor(name: string, onLine?: (line: string) => void) {
    this.#name = name;
    this.#onLine = onLine;
  }

  /** All lines that are kept, oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** The last lines under a heading that names the process; made for error messages. */
  tail(count = 60): string {
    const shown = this.#lines.slice(-count);
    const omitted = this.#droppedLines + this.#lines.length - shown.length;
    return [`── ${this.#name}${omitted > 0 ? ` (${omitted} earlier lines left out)` : ""} ──`, ...shown].join(
      "\n",
    );
  }

  has(text: string | RegExp): boolean {
    return this.find(text) !== undefined;
  }

  /** The first kept line that contains `text`. */
  find(text: string | RegExp): string | undefined {
    return this.#lines.find((line) => typeof text === "string" ? line.includes(text) : text.test(line));
  }

  push(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > MAX_LINES) {
      const excess = this.#lines.length - MAX_LINES / 2;
      this.#lines.splice(0, excess);
      this.#droppedLines += excess;
    }
    this.#onLine?.(line);
    this.#notify();
  }

  /** Nothing will be written any more: whoever waits is told. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Resolves to the first kept line that contains `text`, seen already or still to come. */
  async waitFor(text: string | RegExp, options: { timeoutMs?: number } = {}): Promise<string> {
    const timeoutMs = options.timeoutMs ?? 60_000;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const fail = (why: string): void =>
      reject(new Error(`Cannot find "${text}" in the log of ${this.#name}: ${why}\n${this.tail()}`));
    const check = (): void => {
      const line = this.find(text);
      if (line !== undefined) resolve(line);
      else if (this.#ended) fail("the process has ended");
    };
    const timer = setTimeout(() => fail(`not written within ${timeoutMs} ms`), timeoutMs);
    this.#watchers.add(check);
    try {
      check();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(check);
    }
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
