import {
  compareLogLevel,
  type LogLevel,
  type LogRecord,
  sanitizeControlSequences,
  type TextFormatter,
} from "@logtape/logtape";
import { messageOf } from "../lib/errors.ts";
import { redactor } from "../lib/redact.ts";
import { LogFile, writeAll } from "./log_file.ts";

/**
 * Where events are told. The message is a fixed sentence that users search for; what varies goes into the properties
 * (texts, numbers, bigints, booleans, errors, plain objects).
 */
export interface Logger {
  debug(message: string, properties?: Properties): void;
  info(message: string, properties?: Properties): void;
  warn(message: string, properties?: Properties): void;
  error(message: string, properties?: Properties): void;
}

export type Properties = Readonly<Record<string, unknown>>;
export type Level = keyof Logger;

export interface LoggerOptions {
  /** Tell debug messages too. */
  readonly verbose?: boolean;
  /** Lines for people, or one JSON object a line; default console. */
  readonly format?: "console" | "json";
  /** Write to this file too; it is made with mode 0600. Empty: no file. */
  readonly file?: string;
  /** Texts that are blanked out wherever they turn up. The login in a URL always is. */
  readonly secrets?: readonly string[];
  /** Default: standard error. */
  readonly output?: { writeSync(bytes: Uint8Array): number };
  /** Milliseconds; default: the clock of the system. */
  readonly now?: () => number;
}

/**
 * A logger that writes to standard error and to the file. Every call has written its line when it returns, so none is
 * lost when the process exits. It never throws: a log that cannot be written must not stop replication.
 * Throws ConfigError when the file cannot be opened.
 */
export async function openLogger(options: LoggerOptions = {}): Promise<Logger & AsyncDisposable> {
  const { verbose = false, format = "console", file = "", output = Deno.stderr, now = Date.now } = options;
  const logFile = file === "" ? undefined : await LogFile.open(file);
  const lowest: LogLevel = verbose ? "debug" : "info";
  const formatter = format === "json" ? formatJson : formatConsole;
  const redact = redactor(options.secrets);
  const write = fanOut(output, logFile);
  const logger = loggerFrom((level, message, properties) => {
    if (compareLogLevel(LEVELS[level], lowest) < 0) return;
    write(redact(formatter(makeRecord(LEVELS[level], message, properties, now()))));
  });
  const close = (): Promise<void> => Promise.resolve(logFile?.[Symbol.dispose]());
  return { ...logger, [Symbol.asyncDispose]: close };
}

/** Says nothing. */
export const silentLogger: Logger = loggerFrom(() => {});

export interface CapturedLine {
  readonly level: Level;
  readonly message: string;
  readonly properties: Properties;
}

/** Keeps what is told, for tests. */
export function captureLogger(): Logger & { readonly lines: readonly CapturedLine[] } {
  const lines: CapturedLine[] = [];
  return { ...loggerFrom((level, message, properties) => lines.push({ level, message, properties })), lines };
}

const LEVELS: Readonly<Record<Level, LogLevel>> = {
  debug: "debug",
  info: "info",
  warn: "warning",
  error: "error",
};

function loggerFrom(tell: (level: Level, message: string, properties: Properties) => void): Logger {
  const at = (level: Level) => (message: string, properties: Properties = {}): void =>
    tell(level, message, properties);
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function makeRecord(level: LogLevel, message: string, properties: Properties, timestamp: number): LogRecord {
  return { category: ["harmonylite"], level, message: [message], rawMessage: message, timestamp, properties };
}

/** One target that fails (a closed pipe, a full disk) does not keep the line from the other. */
function fanOut(
  output: { writeSync(bytes: Uint8Array): number },
  logFile: LogFile | undefined,
): (line: string) => void {
  const encoder = new TextEncoder();
  let hasFileFailed = false;
  const writeOutput = (line: string): void => {
    try {
      writeAll(output, encoder.encode(line));
    } catch {
      // Nobody is left to tell.
    }
  };
  return (line) => {
    writeOutput(line);
    try {
      logFile?.write(encoder.encode(line));
      hasFileFailed = false;
    } catch (error) {
      if (!hasFileFailed) writeOutput(`Cannot write the log file: ${messageOf(error)}\n`);
      hasFileFailed = true;
    }
  };
}

/** `2026-01-31T12:00:00.000Z WARN  Unable to publish stream=harmonylite-changes-1 error="timed out"`. */
const formatConsole: TextFormatter = ({ timestamp, level, rawMessage, properties }) => {
  const pairs = Object.entries(properties).filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${showValue(value)}`);
  const head = `${new Date(timestamp).toISOString()} ${shortLevel(level).toUpperCase().padEnd(5)}`;
  // Texts of other nodes must neither move the cursor nor look like a line of their own.
  const text = sanitizeControlSequences(`${rawMessage}${pairs.join("")}`, {
    sgr: "escape",
    newlines: "escape",
  });
  return `${head} ${text}\n`;
};

/** `{"time":…,"level":"warn","message":…,"properties":{…}}`. */
const formatJson: TextFormatter = ({ timestamp, level, rawMessage, properties }) => {
  const line = {
    time: new Date(timestamp).toISOString(),
    level: shortLevel(level),
    message: rawMessage,
    properties,
  };
  return `${toJson(line)}\n`;
};

function shortLevel(level: LogLevel): string {
  return level === "warning" ? "warn" : level;
}

function showValue(value: unknown): string {
  if (value instanceof Error) return quoteIfNeeded(value.message);
  if (typeof value === "string") return quoteIfNeeded(value);
  if (typeof value === "object" && value !== null) return toJson(value);
  return String(value);
}

function quoteIfNeeded(text: string): string {
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** JSON of anything: bigints become texts, errors their message, and what cannot be shown says so. */
function toJson(value: unknown): string {
  try {
    return JSON.stringify(value, showInJson);
  } catch (error) {
    const reason = `cannot be shown: ${messageOf(error)}`;
    // A line keeps its message, whatever its properties are.
    return JSON.stringify(isLine(value) ? { ...value, properties: { reason } } : reason);
  }
}

function showInJson(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
  return value instanceof Map ? Object.fromEntries(value) : value;
}

function isLine(value: unknown): value is { properties: Properties } {
  return typeof value === "object" && value !== null && "properties" in value;
}
