import { backup, DatabaseSync } from "node:sqlite";
import { startApplication } from "../../support/application_process.ts";
import { APPLICATION_SCHEMA } from "../../support/application.ts";
import { ClusterNode } from "../../support/cluster.ts";
import { assertSameContent, createDatabase } from "../../support/database.ts";
import { eventually } from "../../support/eventually.ts";
import { atMost, type Figure, percentile } from "../figures.ts";
import { Lab } from "../lab.ts";
import { processFigures } from "../process_figures.ts";
import type { Part } from "./part.ts";

const NODES = 3;
const SAMPLE_INTERVAL_MS = 10_000;
const READ_TIMEOUT_MS = 10_000;
/** What is at the end against what was at the beginning: above it something grows with time. */
const MAX_GROWTH = 1.15;
/** The file of the application: rows that stay, and those that its writes turn over. */
const SCHEMA = `${APPLICATION_SCHEMA} CREATE TABLE beacons (id INTEGER PRIMARY KEY, sample INTEGER);
 
  CREATE TABLE readings (id INTEGER PRIMARY KEY, text TEXT);
  WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 50000)
  INSERT INTO readings SELECT i, 'reading number ' || i || ' of the first hour' FROM n;`;
/** Everything that is bounded by a setting gets a bound that is reached many times within the hour. */
const SETTINGS = {
  replication_log: { shards: 2, max_entries: 20_000, version_retention: 120_000 },
  snapshot: { enabled: true, store: "nats", interval: 120_000 },
  verify: { interval: 300_000 },
  logging: { verbose: false },
};

/** What is looked at, of the node that has most of it. */
interface Sample {
  readonly residentMb: number;
  readonly openFiles: number;
  readonly databaseMb: number;
  readonly walMb: number;
  readonly logRows: number;
  readonly versionRows: number;
  readonly streamsMb: number;
  /** Until a row was on all other nodes. */
  readonly lagMs: number;
}

const UNITS: Readonly<Record<keyof Sample, readonly [name: string, unit: string]>> = {
  residentMb: ["resident memory", "MB"],
  openFiles: ["open files", "files"],
  databaseMb: ["database file", "MB"],
  walMb: ["write-ahead log", "MB"],
  logRows: ["rows in change logs", "rows"],
  versionRows: ["rows in version tables", "rows"],
  streamsMb: ["streams and snapshots", "MB"],
  lagMs: ["lag", "ms"],
};

/** Three nodes, each with an application that inserts, updates and deletes; what should stay flat is sampled. */
export const soak: Part = {
  name: "soak",
  help: "an hour (--minutes) of mixed load on three nodes: what should stay flat; only when named",
  isLong: true,
  measure: async ({ minutes }) => {
    await using lab = await Lab.open();
    const nodes = await Promise.all(Array.from({ length: NODES }, (_, index) => startNode(lab, index + 1)));
    for (const node of nodes) lab.own(node);
    const applications = await Promise.all(nodes.map(({ dbPath }, index) =>
      startApplication({
        db: dbPath,
        seed: index + 1,
        firstId: (index + 1) * 10_000_000,
        rate: 40,
        rowsPerTransaction: 2,
        sharedPart: 0.1,
        updatePart: 0.6,
        deletePart: 0.2,
      })
    ));
    for (const application of applications) lab.own(application);
    const samples: Sample[] = [];
    for (const end = performance.now() + minutes * 60_000; performance.now() < end;) {
      samples.push(await takeSample(lab, nodes, samples.length));
      if (samples.length % 6 === 1) console.error(JSON.stringify(samples.at(-1)));
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_INTERVAL_MS));
    }
    const reports = await Promise.all(applications.map((application) => application.stop()));
    await eventually("nothing is on its way", () => assertSameContent(nodes.map(({ dbPath }) => dbPath)), {
      timeoutMs: 60_000,
    });
    const errors = reports.reduce((sum, report) => sum + report.errors, 0);
    if (errors > 0) throw new Error(`The applications met ${errors} errors: ${reports[0]?.lastError}`);
    return [
      { name: "transactions", value: reports.reduce((sum, each) => sum + each.transactions, 0), unit: "" },
      {
        name: "slowest write",
        value: Math.max(...reports.map((each) => each.transactionMs.max)),
        unit: "ms",
      },
      ...flatness(samples),
      await storageOverhead(lab, nodes[0]!),
    ];
  },
};

async function startNode(lab: Lab, nodeId: number): Promise<ClusterNode> {
  const node = new ClusterNode({
    dir: lab.file(""),
    nodeId,
    dbPath: lab.file(`node-${nodeId}.db`),
    natsUrl: lab.natsUrl,
    settings: SETTINGS,
  });
  await createDatabase(node.dbPath, SCHEMA);
  await node.start();
  return node;
}

async function takeSample(lab: Lab, nodes: readonly ClusterNode[], sample: number): Promise<Sample> {
  const lagMs = await lagOf(nodes, sample);
  const most = (value: (node: ClusterNode) => number): number => Math.max(...nodes.map(value));
  return {
    residentMb: most(({ process }) => processFigures(process.pid)?.residentMb ?? 0),
    openFiles: most(({ process }) => [...Deno.readDirSync(`/proc/${process.pid}/fd`)].length),
    databaseMb: most(({ dbPath }) => Deno.statSync(dbPath).size / 1e6),
    walMb: most(({ dbPath }) => Deno.statSync(`${dbPath}-wal`).size / 1e6),
    logRows: most((node) => rowsIn(node, "change_log")),
    versionRows: most((node) => rowsIn(node, "row_version")),
    streamsMb: sizeOf(lab.file("jetstream")) / 1e6,
    lagMs,
  };
}

/** Writes a row on one node and waits until all others show it. */
async function lagOf(nodes: readonly ClusterNode[], sample: number): Promise<number> {
  const writer = nodes[sample % nodes.length]!;
  using db = new DatabaseSync(writer.dbPath, { timeout: READ_TIMEOUT_MS });
  db.exec(
    `INSERT INTO beacons VALUES (${sample % 50}, ${sample}) ON CONFLICT DO UPDATE SET sample = ${sample}`,
  );
  const start = performance.now();
  const isThere = (node: ClusterNode): boolean =>
    node.count(`SELECT sample FROM beacons WHERE id = ${sample % 50}`) === sample;
  await eventually("the row is on all nodes", () => nodes.every(isThere), {
    intervalMs: 1,
    timeoutMs: 60_000,
  });
  return performance.now() - start;
}

function rowsIn(node: ClusterNode, kind: string): number {
  const tables = node.read(
    `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_\\_harmonylite\\_\\_%${kind}' ESCAPE '\\'`,
  );
  return tables.reduce((sum, [name]) => sum + node.count(`SELECT count(*) FROM "${name}"`), 0);
}

function sizeOf(folder: string): number {
  let bytes = 0;
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    bytes += isDirectory ? sizeOf(path) : Deno.statSync(path).size;
  }
  return bytes;
}

/** The second sixth of the time, after everything has settled, against the last one: medians. */
function flatness(samples: readonly Sample[]): Figure[] {
  const part = Math.floor(samples.length / 6);
  const [early, late] = [samples.slice(part, 2 * part), samples.slice(-part)];
  return Object.entries(UNITS).flatMap(([key, [name, unit]]) => {
    const of = (some: readonly Sample[]): number =>
      percentile(some.map((sample) => sample[key as keyof Sample]).sort((a, b) => a - b), 0.5);
    const growth = {
      name: `${name}, growth`,
      value: of(late) / of(early),
      unit: "×",
      target: atMost(MAX_GROWTH),
    };
    return [{ name: `${name}, early`, value: of(early), unit }, {
      name: `${name}, late`,
      value: of(late),
      unit,
    }, growth];
  });
}

/** How much larger the file is than it would be without HarmonyLite's tables. */
async function storageOverhead(lab: Lab, node: ClusterNode): Promise<Figure> {
  const copy = lab.file("without.db");
  {
    using db = new DatabaseSync(node.dbPath, { readOnly: true, timeout: READ_TIMEOUT_MS });
    await backup(db, copy);
  }
  using db = new DatabaseSync(copy);
  db.exec("PRAGMA journal_mode = DELETE");
  const withUs = Deno.statSync(copy).size;
  const own = db.prepare(
    `SELECT type, name FROM sqlite_schema WHERE name LIKE '\\_\\_harmonylite\\_\\_%' ESCAPE '\\'
    AND type IN ('table', 'trigger') ORDER BY type DESC`,
  ).all();
  for (const { type, name } of own) db.exec(`DROP ${type} "${name}"`);
  db.exec("VACUUM");
  return { name: "storage overhead", value: 100 * (withUs / Deno.statSync(copy).size - 1), unit: "%" };
}
