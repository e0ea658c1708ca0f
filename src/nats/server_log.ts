export type ServerLogLevel = "debug" | "info" | "warn" | "error";

/** Told what a server says, a line at a time. */
export type OnServerLine = (level: ServerLogLevel, text: string) => void;

const LEVELS: Readonly<Record<string, ServerLogLevel>> = {
  INF: "info",
  WRN: "warn",
  ERR: "error",
  FTL: "error",
};
/** Other servers may be started later, or be away: to be told, but nothing is wrong here. */
const AWAITED = /^Error trying to connect (to route|as leafnode)/;
/** A server that complains without end must not fill the disk. */
const MAX_LINES_PER_MINUTE = 120;
/** Lines without a level that are kept: what a server says that does not start, or that breaks. */
const MAX_KEPT_LINES = 5;
/** It is about the user that we configure, in a file that nobody else reads. */
const OF_NO_INTEREST = /Plaintext passwords detected|default_js_domain. is a temporary/;

/** Reads what a nats-server writes: passes it on by level, within bounds, and remembers why it may have ended. */
export class ServerLog {
  readonly #tell: OnServerLine;
  readonly #now: () => number;
  #minute = 0;
  #told = 0;
  #kept: string[] = [];
  #lastError: string | undefined;

  constructor(tell: OnServerLine, now: () => number = () => performance.now()) {
    this.#tell = tell;
    this.#now = now;
  }

  /** `[4711] 2026/01/31 12:00:00.000000 [INF] Server is ready`. Returns the text, `Server is ready`. */
  push(line: string): string {
    const [, mark = "", text = line] = /\[([A-Z]{3})\] (.*)$/.exec(line) ?? [];
    const level = AWAITED.test(text) ? "warn" : LEVELS[mark];
    if (level === "error") this.#lastError = text;
    if (mark === "" && text.trim() !== "" && this.#kept.length < MAX_KEPT_LINES) this.#kept.push(text.trim());
    if (level !== undefined && text.trim() !== "" && !OF_NO_INTEREST.test(text)) this.#pass(level, text);
    return text;
  }

  /** The server's own sentence about its end, as far as it said one. */
  get reason(): string | undefined {
    const kept = this.#kept.map((line) => line.replace(/^nats-server: /, ""));
    return this.#lastError ?? (kept.length === 0 ? undefined : kept.join("; "));
  }

  #pass(level: ServerLogLevel, text: string): void {
    const minute = Math.floor(this.#now() / 60_000);
    if (minute !== this.#minute) {
      const left = this.#told - MAX_LINES_PER_MINUTE;
      if (left > 0) this.#tell("warn", `${left} more lines were left out`);
      this.#minute = minute;
      this.#told = 0;
    }
    if (++this.#told <= MAX_LINES_PER_MINUTE) this.#tell(level, text);
  }
}
