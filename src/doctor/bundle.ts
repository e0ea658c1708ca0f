import { createTar } from "nanotar";
import { secretsOf } from "../config/config.ts";
import { ENTRIES } from "../config/schema.ts";
import { messageOf } from "../lib/errors.ts";
import { findProgram } from "../lib/programs.ts";
import { scrubber, scrubSettings } from "../lib/redact.ts";
import { localAddress, parseListenAddress } from "../config/listen_address.ts";
import { usualMonitors } from "./addresses.ts";
import type { Patient } from "./patient.ts";

const FOLDER = "harmonylite-diag";
const LOG_BYTES = 2 << 20;
const LOG_LINES = 2_000;
/** Two blocks of zeros end an archive; nanotar leaves room for fewer now and then, which tar grumbles about. */
const TAR_END_BYTES = 2 * 512;
const MAX_ANSWER_BYTES = 8 << 20;
/** How long one part may take to be gathered. */
const PART_TIMEOUT_MS = 5_000;

/** One file of the bundle, and how it is made; what that throws is told in its place. */
interface Part {
  readonly name: string;
  readonly gather: (signal: AbortSignal) => Promise<string | undefined> | string | undefined;
}

/**
 * Everything that helps somebody else to find out what is wrong, as the bytes of a `.tar.gz`: what
 * `harmonylite-diag.tar.gz` of the troubleshooting guide holds, and more. Secrets are blanked out; rows are not in it, but
 * names of tables and columns are, and what the log says.
 *
 * @param reports what was found, and the version: name of the file to its text
 */
export async function makeBundle(
  patient: Patient,
  reports: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly files: readonly string[] }> {
  const scrub = scrubber(secretsOf(patient.config));
  const files: { name: string; text: string }[] = [];
  const missing: string[] = [];
  const told = Object.entries(reports).map(([name, text]): Part => ({ name, gather: () => text }));
  for (const { name, gather } of [...told, ...partsOf(patient)]) {
    try {
      const text = await gather(AbortSignal.any([signal, AbortSignal.timeout(PART_TIMEOUT_MS)]));
      if (text !== undefined) files.push({ name, text: scrub(text) });
    } catch (error) {
      signal.throwIfAborted();
      missing.push(`${name}: ${scrub(messageOf(error))}`);
    }
  }
  if (missing.length > 0) files.push({ name: "missing.txt", text: `${missing.join("\n")}\n` });
  const mtime = Date.now();
  const tar = createTar(
    files.map(({ name, text }) => ({ name: `${FOLDER}/${name}`, data: text, attrs: { mode: "600", mtime } })),
  );
  return {
    bytes: await gzip(new Blob([new Uint8Array(tar), new Uint8Array(TAR_END_BYTES)])),
    files: files.map(({ name }) => name),
  };
}

async function gzip(data: Blob): Promise<Uint8Array> {
  return await new Response(data.stream().pipeThrough(new CompressionStream("gzip"))).bytes();
}

const NAMES: ReadonlySet<string> = new Set(ENTRIES.map(({ name }) => name));
const VARIABLES: ReadonlySet<string> = new Set(ENTRIES.map(({ variable }) => variable));
const isName = (name: string): boolean => NAMES.has(name);
const isVariable = (name: string): boolean => VARIABLES.has(name);

function partsOf(patient: Patient): Part[] {
  const { config, inspected } = patient;
  const { prometheus, healthCheck } = config;
  return [
    {
      name: "config.toml",
      gather: () => inspected.text === undefined ? undefined : scrubSettings(inspected.text, isName),
    },
    { name: "environment.txt", gather: environment },
    { name: "harmonylite.log", gather: (signal) => readLog(patient, signal) },
    { name: "schema.sql", gather: (signal) => readSchema(patient, signal) },
    { name: "streams.json", gather: (signal) => readStreams(patient, signal) },
    {
      name: "metrics.txt",
      gather: (signal) =>
        prometheus.enable ? fetchText(urlOf(prometheus.bind, "/metrics"), signal) : undefined,
    },
    {
      name: "health.json",
      gather: (signal) =>
        healthCheck.enable ? fetchText(urlOf(healthCheck.bind, healthCheck.path), signal) : undefined,
    },
    { name: "nats-varz.json", gather: (signal) => askMonitor(patient, "/varz", signal) },
    { name: "nats-jsz.json", gather: (signal) => askMonitor(patient, "/jsz?streams=1&config=1", signal) },
  ];
}

/** Settings only: the rest of the environment is nobody's business. */
function environment(): string {
  const entries = Object.entries(Deno.env.toObject()).filter(([name]) => name.startsWith("HARMONYLITE_"))
    .sort();
  return scrubSettings(entries.map(([name, value]) => `${name}=${value}\n`).join(""), isVariable);
}

/** The end of the log file, else what the journal of systemd has. */
async function readLog({ config: { logging } }: Patient, signal: AbortSignal): Promise<string | undefined> {
  if (logging.file !== "") return await readEnd(logging.file);
  const journal = findProgram("journalctl");
  if (journal === undefined) return undefined;
  const args = ["-u", "harmonylite", "-n", String(LOG_LINES), "--no-pager"];
  const { stdout } = await new Deno.Command(journal, { args, stdin: "null", stderr: "null", signal })
    .output();
  return new TextDecoder().decode(stdout);
}

async function readEnd(path: string): Promise<string> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  await file.seek(Math.max(0, size - LOG_BYTES), Deno.SeekMode.Start);
  const text = await new Response(file.readable).text();
  return text.slice(-LOG_BYTES);
}

/** How the tables are made: no row of them. */
async function readSchema(patient: Patient, signal: AbortSignal): Promise<string> {
  const rows = await patient.read(
    (database) =>
      database.all("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, rowid"),
    signal,
  );
  return rows.map(([sql]) => `${sql};\n`).join("");
}

async function readStreams({ nats }: Patient, signal: AbortSignal): Promise<string> {
  const account = await nats.inspector.account(signal);
  return `${JSON.stringify({ account, ...await nats.inspector.streams(signal) }, null, 2)}\n`;
}

/** The monitor of the node's own server, else that of the configured ones, where it usually is. */
async function askMonitor(
  { monitor, config }: Patient,
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const tried = monitor === undefined
    ? usualMonitors(config).map((address) => `http://${address}`)
    : [monitor];
  let reason: unknown = new Error("the node's own server has no monitor: set nats.monitor_address");
  for (const url of tried) {
    try {
      return await fetchText(`${url}${path}`, signal);
    } catch (error) {
      reason = error;
    }
  }
  throw reason;
}

function urlOf(bind: string, path: string): string {
  return `http://${localAddress(parseListenAddress(bind))}${path}`;
}

/** A health check answers with an error when it is ill, and says why. */
async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal, redirect: "error" });
  const text = await response.text();
  return text.slice(0, MAX_ANSWER_BYTES);
}
