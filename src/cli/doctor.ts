import { secretsOf } from "../config/config.ts";
import { inspectConfig } from "../config/load.ts";
import type { Verdict } from "../doctor/check.ts";
import { examine, type Result, verdictOf } from "../doctor/examine.ts";
import type { Patient } from "../doctor/patient.ts";
import { ConfigError, messageOf } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { redactor } from "../lib/redact.ts";
import type { DoctorCommand } from "./command.ts";
import { EXIT, type Io } from "./io.ts";
import { renderVersion } from "./version.ts";

const EXIT_OF = { ok: EXIT.ok, warn: EXIT.warning, fail: EXIT.failure } as const;

/** Examines an installation, whatever is wrong with it, and tells what to do. */
export async function doctor(command: DoctorCommand, { signal, stdout }: Io): Promise<number> {
  const { path, overrides } = command.choice;
  const inspected = await inspectConfig({ overrides, ...path === undefined ? {} : { path } });
  const redact = redactor(secretsOf(inspected.config));
  const { admit } = await import("../agent/examination.ts");
  const { CHECKS } = await import("../doctor/checks.ts");
  await using admission = await admit(inspected, signal);
  const { patient } = admission;
  const results = (await examine(patient, CHECKS, { signal, fix: command.fix })).map((result) => ({
    ...result,
    text: redact(result.text),
    details: result.details?.map(redact) ?? [],
  }));
  const json = `${JSON.stringify(toJson(patient, results), null, 2)}\n`;
  stdout.write(command.json ? json : render(results, Deno.stdout.isTerminal() && !Deno.noColor));
  if (command.bundle !== undefined) {
    const reports = {
      "doctor.txt": render(results, false),
      "doctor.json": json,
      "version.txt": renderVersion(),
    };
    const told = await writeBundle(command.bundle, patient, reports, signal);
    if (!command.json) stdout.write(told);
  }
  return EXIT_OF[verdictOf(results)];
}

async function writeBundle(
  path: string,
  patient: Patient,
  reports: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const { makeBundle } = await import("../doctor/bundle.ts");
  const { bytes, files } = await makeBundle(patient, reports, signal);
  try {
    await Deno.writeFile(path, bytes, { mode: 0o600 });
  } catch (error) {
    throw new ConfigError(`Cannot write the bundle "${path}": ${messageOf(error)}`, { cause: error });
  }
  return `\nWrote ${path}: ${
    files.join(", ")
  }.\nSecrets are blanked out; look through it before you hand it on.\n`;
}

const COLOURS: Readonly<Record<Verdict, string>> = { ok: "32", warn: "33", fail: "31", skipped: "2" };
const WIDTH_OF_VERDICT = 8;

/** One line for each check, what belongs to it below; aligned. */
function render(results: readonly Result[], inColour: boolean): string {
  const width = Math.max(...results.map(({ name }) => name.length)) + 2;
  const indent = " ".repeat(WIDTH_OF_VERDICT + width);
  const lines = results.flatMap(({ verdict, name, text, advice, details = [], fixed }) => {
    const word = verdict.padEnd(WIDTH_OF_VERDICT);
    const shown = inColour ? `\x1b[${COLOURS[verdict]}m${word}\x1b[0m` : word;
    const isWell = verdict === "ok" || verdict === "skipped";
    return [
      `${shown}${name.padEnd(width)}${printable(text)}`,
      ...isWell ? [] : details.map((detail) => `${indent}- ${printable(detail)}`),
      ...advice === undefined ? [] : [`${indent}→ ${advice}`],
      ...fixed === undefined ? [] : [`${indent}✓ ${printable(fixed)}`],
    ];
  });
  const count = (wanted: Verdict): number => results.filter(({ verdict }) => verdict === wanted).length;
  const sum = (["ok", "warn", "fail", "skipped"] as const).map((verdict) => `${count(verdict)} ${verdict}`)
    .join(", ");
  return `${lines.join("\n")}\n\n${sum}\n`;
}

function toJson({ config, process }: Patient, results: readonly Result[]): unknown {
  return {
    verdict: verdictOf(results),
    node: String(config.nodeId),
    database: config.dbPath,
    process: process ?? null,
    checks: results.map(({ name, verdict, text, advice, details, fixed, tookMs }) => ({
      check: name,
      verdict,
      text,
      advice: advice ?? null,
      details,
      fixed: fixed ?? null,
      took_ms: tookMs,
    })),
  };
}
