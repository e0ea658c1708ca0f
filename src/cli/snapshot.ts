import type { Config } from "../config/config.ts";
import { secretsOf } from "../config/config.ts";
import { HarmonyLiteError } from "../lib/errors.ts";
import { type Logger, openLogger } from "../observe/logger.ts";
import type { Generation } from "../snapshot/manifest.ts";
import type { Generations } from "../snapshot/generations.ts";
import { loadChoice, requirePaths } from "./check.ts";
import type { SnapshotCommand } from "./command.ts";
import { ageText, bytesText } from "../lib/quantities.ts";
import { EXIT, type Io } from "./io.ts";
import { ProgressBar } from "./progress_bar.ts";

/** What all actions work with. */
interface Desk {
  readonly config: Config;
  readonly logger: Logger;
  readonly io: Io;
  readonly bar: ProgressBar;
}

type Action<Name> = Extract<SnapshotCommand, { readonly action: Name }>;

export async function snapshot(command: SnapshotCommand, io: Io): Promise<number> {
  const loaded = await loadChoice(command.choice);
  await requirePaths(loaded, { withDatabase: false });
  const { config } = loaded;
  await using logger = await openLogger({ ...config.logging, secrets: secretsOf(config) });
  using bar = new ProgressBar(io.stderr, Deno.stderr.isTerminal() && !command.json);
  const desk = { config, logger, io, bar };
  if (command.action === "save") return await save(command, desk);
  const { openSnapshotStore } = await import("../agent/log_connection.ts");
  const { generationsOf, requireEnabled } = await import("../agent/save_snapshot.ts");
  requireEnabled(config);
  await using opened = await openSnapshotStore(config, { signal: io.signal, logger });
  const generations = generationsOf(config, opened.store);
  switch (command.action) {
    case "list":
      return list(command, await generations.list(io.signal), desk);
    case "verify":
      return await verify(command, generations, desk);
    case "download":
    case "restore":
      return await fetch(command, generations, desk);
  }
}

async function save({ json }: Action<"save">, { config, logger, io, bar }: Desk): Promise<number> {
  const { saveSnapshot } = await import("../agent/save_snapshot.ts");
  const onProgress = bar.show.bind(bar);
  const generation = await saveSnapshot(config, { signal: io.signal, logger, onProgress });
  bar[Symbol.dispose]();
  io.stdout.write(
    json
      ? `${JSON.stringify(toJson(generation, 1))}\n`
      : `Snapshot saved: ${generation.name}, ${bytesText(generation.size)}\n`,
  );
  return EXIT.ok;
}

function list({ json }: Action<"list">, generations: readonly Generation[], { io }: Desk): number {
  const nowMs = Date.now();
  io.stdout.write(
    json
      ? `${JSON.stringify(generations.map((each, at) => toJson(each, at + 1, nowMs)), null, 2)}\n`
      : renderList(generations, nowMs),
  );
  return EXIT.ok;
}

/** Reads all that is chosen, also after one that is damaged. */
async function verify(
  { json, generation: wanted }: Action<"verify">,
  generations: Generations,
  { io, bar }: Desk,
): Promise<number> {
  const { chooseGeneration } = await import("../agent/fetch_snapshot.ts");
  const all = await generations.list(io.signal);
  const chosen = wanted === undefined ? all : [chooseGeneration(all, wanted)];
  const results: { generation: Generation; problem: string | undefined }[] = [];
  for (const generation of chosen) {
    const onProgress = (progress: { done: number; total: number }): void => bar.show("verifying", progress);
    const problem = await generations.verify(generation, { signal: io.signal, onProgress })
      .then(() => undefined, problemOf);
    results.push({ generation, problem });
  }
  bar[Symbol.dispose]();
  const whole = results.every(({ problem }) => problem === undefined);
  const number = (generation: Generation): number => all.indexOf(generation) + 1;
  const told = json
    ? JSON.stringify(results.map(({ generation, problem }) => ({
      ...toJson(generation, number(generation)),
      whole: problem === undefined,
      problem: problem ?? null,
    })))
    : results.map(({ generation, problem }) =>
      `${number(generation)}  ${generation.name}  ${problem ?? wordsFor(generation)}`
    ).join("\n");
  io.stdout.write(`${told === "" ? "There is no snapshot." : told}\n`);
  return whole ? EXIT.ok : EXIT.failure;
}

function wordsFor({ sha256 }: Generation): string {
  return sha256 === undefined ? "readable; nobody has told its SHA-256" : "whole";
}

function problemOf(error: unknown): string {
  if (error instanceof HarmonyLiteError) return error.message;
  throw error;
}

async function fetch(
  command: Action<"download"> | Action<"restore">,
  generations: Generations,
  { config, logger, io, bar }: Desk,
): Promise<number> {
  const { action, json, output, force } = command;
  const { chooseGeneration, fetchTo } = await import("../agent/fetch_snapshot.ts");
  const { newestBefore, replay } = await import("../agent/replay.ts");
  const until = command.action === "restore" ? command.until : undefined;
  const all = await generations.list(io.signal);
  const generation = chooseGeneration(all, command.generation ?? newestBefore(all, until!));
  await fetchTo(generations, generation, {
    output,
    force,
    live: config.dbPath,
    check: action === "restore",
    finish: until === undefined
      ? undefined
      : (path) => replay(config, path, until, { signal: io.signal, logger }),
    signal: io.signal,
    onProgress: (progress) => bar.show("downloading", progress),
  });
  bar[Symbol.dispose]();
  const told = { ...toJson(generation, all.indexOf(generation) + 1), output };
  const text = `Wrote ${output}: ${generation.name}, ${bytesText(generation.size)}`;
  io.stdout.write(`${json ? JSON.stringify(told) : text}\n`);
  return EXIT.ok;
}

/** Node ids and stream times as texts: they may exceed what a number in JSON holds. */
function toJson(generation: Generation, number: number, nowMs: number = Date.now()): Record<string, unknown> {
  const { name, size, sha256, timeMs, node, schema, positions } = generation;
  return {
    generation: number,
    name,
    time: new Date(timeMs).toISOString(),
    age_seconds: Math.round((nowMs - timeMs) / 1000),
    size,
    sha256: sha256 ?? null,
    node: node === undefined ? null : String(node),
    schema: schema ?? null,
    positions: positions.map(({ time, ...position }) => ({ ...position, time: String(time) })),
  };
}

/**
 *     1  2026-11-21 15:54:03 UTC  5 min ago  12.3 MB  node 1  snapshot-20261121T155403Z.db
 *        harmonylite-changes-1 at 512
 */
function renderList(generations: readonly Generation[], nowMs: number): string {
  if (generations.length === 0) return "There is no snapshot.\n";
  return generations.map((generation, at) => {
    const { name, size, timeMs, node, positions } = generation;
    const time = new Date(timeMs).toISOString().replace("T", " ").slice(0, 19);
    const by = node === undefined ? "by hand or another program" : `node ${node}`;
    const facts = [`${time} UTC`, ageText(nowMs - timeMs), bytesText(size), by, name];
    const reached = positions.map(({ stream, sequence }) => `   ${stream} at ${sequence}\n`);
    return `${at + 1}  ${facts.join("  ")}\n${reached.join("")}`;
  }).join("");
}
