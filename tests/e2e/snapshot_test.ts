import { startCluster } from "../support/cluster.ts";
import { eventually } from "../support/eventually.ts";

const SCHEMA = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);`;

Deno.test("the first snapshot is taken at once, by one node", async () => {
  await using cluster = await startCluster(2, {
    schema: SCHEMA,
    settings: { snapshot: { enabled: true, leader_ttl: 3000 } },
  });
  await eventually("saved", () => cluster.nodes.some(({ process }) => process.log.has("Snapshot saved")), {
    timeoutMs: 20000,
  });
  for (const n of cluster.nodes) console.log(n.process.log.tail(20));
});
