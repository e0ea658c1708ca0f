import { DatabaseSync } from "node:sqlite";
import { admit } from "../../src/agent/examination.ts";
import { installCapture } from "../../src/capture/change_log.ts";
import { inspectConfig } from "../../src/config/load.ts";
import { CHECKS } from "../../src/doctor/checks.ts";
import { examine, type Result } from "../../src/doctor/examine.ts";
import type { Patient } from "../../src/doctor/patient.ts";
import { Database } from "../../src/sqlite/database.ts";
import { makeTempDir, type TempDir } from "./temp.ts";

const ALL_TABLES = { include: [], exclude: [] };

export interface PatientLabOptions {
  /** Makes the database; without it there is none. */
  readonly schema?: string;
  /** More text of the configuration: keys first, then tables. */
  readonly toml?: string;
  readonly natsUrl?: string;
  readonly nodeId?: number;
  /** What the configuration says; default: where the lab makes it. */
  readonly dbPath?: string;
  /** Where all of it lies; default: a folder of its own. */
  readonly path?: string;
}

/** An installation for the doctor to look at: a real database and a configuration, but no process unless the test makes one. */
export class PatientLab implements AsyncDisposable {
  readonly dbPath: string;
  readonly configPath: string;
  readonly #dir: TempDir;

  constructor(dir: TempDir) {
    this.#dir = dir;
    this.dbPath = dir.file("app.db");
    this.configPath = dir.file("config.toml");
  }

  /** Runs SQL as another connection of this process, and returns the rows of the last statement. */
  sql(text: string): unknown[][] {
    using db = new DatabaseSync(this.dbPath, { timeout: 10_000 });
    const parts = text.split(";").map((part) => part.trim()).filter((part) => part !== "");
    const last = parts.pop() ?? "";
    for (const part of parts) db.exec(part);
    return db.prepare(last).all().map((row) => Object.values(row));
  }

  /** Installs triggers and change logs, as a node does when it starts. */
  async install(): Promise<void> {
    using database = Database.open(this.dbPath);
    await installCapture(database, ALL_TABLES);
  }

  writeConfig({ toml = "", natsUrl, nodeId = 1, dbPath = this.dbPath }: PatientLabOptions): void {
    const parts = toml.split(/^(?=\[)/m);
    const keys = toml.startsWith("[") ? "" : parts[0];
    const tables = parts.filter((part) => part.startsWith("["));
    const isNats = (table: string): boolean => table.startsWith("[nats]");
    const nats = tables.find(isNats) ?? "[nats]\n";
    const urls = natsUrl === undefined ? "" : `urls = [${JSON.stringify(natsUrl)}]\nconnect_retries = 1\n`;
    const text = [
      `db_path = ${JSON.stringify(dbPath)}\nnode_id = ${nodeId}\n${keys ?? ""}\n`,
      `${nats}\n${urls}`,
      ...tables.filter((table) => !isNats(table)),
    ].join("\n");
    Deno.writeTextFileSync(this.configPath, text, { mode: 0o600 });
  }

  /** Makes one check. */
  async check(name: string, options: { readonly fix?: boolean } = {}): Promise<Result> {
    const check = CHECKS.find((each) => each.name === name);
    if (check === undefined) throw new Error(`There is no check "${name}"`);
    const { signal } = new AbortController();
    const [result] = await this.examine((patient) =>
      examine(patient, [check], { signal, fix: options.fix ?? false })
    );
    return result!;
  }

  /** `warn: There is no stream yet`. */
  async verdict(name: string): Promise<string> {
    const { verdict, text } = await this.check(name);
    return `${verdict}: ${text}`;
  }

  /** Likewise, looking at one state: by name of the check. */
  async verdicts(...names: string[]): Promise<Record<string, string>> {
    const checks = CHECKS.filter(({ name }) => names.includes(name));
    const { signal } = new AbortController();
    const results = await this.examine((patient) => examine(patient, checks, { signal, fix: false }));
    return Object.fromEntries(results.map(({ name, verdict, text }) => [name, `${verdict}: ${text}`]));
  }

  async examine<T>(work: (patient: Patient) => Promise<T>): Promise<T> {
    const inspected = await inspectConfig({ path: this.configPath, environment: {} });
    await using admission = await admit(inspected, new AbortController().signal);
    return await work(admission.patient);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dir[Symbol.asyncDispose]();
  }
}

/** Writes configuration and database; nothing of ours is in it before {@link PatientLab.install}. */
export async function openPatientLab(options: PatientLabOptions = {}): Promise<PatientLab> {
  const lab = new PatientLab(await makeTempDir(options.path));
  if (options.schema !== undefined) {
    using db = new DatabaseSync(lab.dbPath);
    db.exec(`PRAGMA journal_mode = WAL; ${options.schema}`);
  }
  lab.writeConfig(options);
  return lab;
}
