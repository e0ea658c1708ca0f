/**
 * The base of every error that this program raises on purpose.
 *
 * `code` is stable and meant for machines, `message` says what could not be done and why
 * (`Cannot <action> "<value>": <state>`), `hint` tells an operator what to do about it.
 */
export class HarmonyLiteError extends Error {
  override name = "HarmonyLiteError";
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** The command line or the configuration is not usable; nothing was started and nothing was changed. */
export class ConfigError extends HarmonyLiteError {
  override name = "ConfigError";

  constructor(message: string, options: { hint?: string; cause?: unknown } = {}) {
    super("INVALID_CONFIG", message, options);
  }
}

/** The database cannot be used as it is: missing, not SQLite, locked by another node process, damaged. */
export class DatabaseError extends HarmonyLiteError {
  override name = "DatabaseError";
}

/** Bytes from the wire that are not what the protocol allows. The message is put into quarantine, never retried. */
export class WireError extends HarmonyLiteError {
  override name = "WireError";

  constructor(message: string, options: { hint?: string; cause?: unknown } = {}) {
    super("BAD_MESSAGE", message, options);
  }
}

/** What is asked of another machine could not be had: it refused for good, or could not be reached in time. */
export abstract class RemoteError extends HarmonyLiteError {
  /** Whether trying again later can help: true for lost connections and time-outs, false for refusals. */
  readonly transient: boolean;

  constructor(
    code: string,
    message: string,
    options: { hint?: string; cause?: unknown; transient: boolean },
  ) {
    super(code, message, options);
    this.transient = options.transient;
  }
}

/** NATS or JetStream refused for good, or could not be reached within the configured attempts. */
export class StreamError extends RemoteError {
  override name = "StreamError";
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
