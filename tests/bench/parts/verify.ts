import { askToVerify } from "../../../src/verify/protocol.ts";
import { verdictOf } from "../../../src/verify/verify.ts";
import { connectToNats } from "../../../src/nats/connection.ts";
import { NatsPeers } from "../../../src/stream/nats_peers.ts";
import type { Peer } from "../../../src/stream/peers.ts";
import { eventually } from "../../support/eventually.ts";
import type { Figure } from "../figures.ts";
import { Lab, TABLE_SQL } from "../lab.ts";
import type { Part } from "./part.ts";

const ROWS = 1_000_000;
const SQL = `${TABLE_SQL} WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ${ROWS})
  INSERT INTO t SELECT i, 'reading number ' || i, i * 1.5, CAST(i * 7919 AS BLOB) FROM n;`;
const SUBJECT_PREFIX = "harmonylite-change-log";
const FIND_TIMEOUT_MS = 200;
const TIMEOUT_MS = 300_000;

/** Two nodes compare rows that they had before they were replicated. */
export const verify: Part = {
  name: "verify",
  help: "two nodes compare a million equal rows",
  measure: async () => {
    await using lab = await Lab.open();
    const [a, b] = [lab.addNode(SQL), lab.addNode(SQL)];
    await a.start();
    await b.start();
    const { signal } = new AbortController();
    const options = { urls: [lab.natsUrl], connectRetries: 5, reconnectWaitSeconds: 1, name: "bench" };
    const connection = await connectToNats(options, { signal });
    try {
      let bytes = 0;
      for (const subject of ["_INBOX.>", `${SUBJECT_PREFIX}-peers`, `${SUBJECT_PREFIX}-peers.>`]) {
        connection.subscribe(subject, {
          callback: (_, message) => void (bytes += message.data.length + message.subject.length),
        });
      }
      const peers = new NatsPeers(connection, SUBJECT_PREFIX);
      const self = await eventually("both nodes answer", async () => {
        const found = await peers.find({ timeoutMs: FIND_TIMEOUT_MS, signal });
        return found.length === 2 && found[0]!;
      });
      bytes = 0;
      const start = performance.now();
      const results = await askToVerify(peers, self as Peer, {
        repair: false,
        timeoutMs: TIMEOUT_MS,
        signal,
      });
      const seconds = (performance.now() - start) / 1000;
      const rows = results.flatMap(({ tables }) => tables).reduce((sum, table) => sum + table.rows, 0);
      if (verdictOf(results) !== "equal" || rows !== ROWS) {
        throw new Error(`Cannot verify: ${rows} rows compared`);
      }
      return [
        { name: "1,000,000 equal rows", value: seconds, unit: "s" },
        { name: "1,000,000 equal rows, traffic", value: bytes / 1000, unit: "kB" },
      ] satisfies Figure[];
    } finally {
      await connection.close();
    }
  },
};
