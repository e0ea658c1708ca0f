import assert from "node:assert/strict";
import { makeTempDir } from "../../tests/support/temp.ts";
import {
  type NodeState,
  nodeStatePath,
  readNodeState,
  removeNodeState,
  writeNodeState,
} from "./node_state.ts";

const STATE: NodeState = {
  node: "9223372036854775807",
  process: 4711,
  startedAt: "2026-01-31T12:00:00.000Z",
  natsServer: { url: "nats://127.0.0.1:4222", monitor: undefined, process: 4712 },
};

Deno.test("what a node wrote is read, by its user alone, until it is removed", async () => {
  await using dir = await makeTempDir();
  const database = dir.file("app.db");
  assert.equal(readNodeState(database), undefined);
  writeNodeState(database, STATE);
  assert.equal(Deno.statSync(nodeStatePath(database)).mode! & 0o777, 0o600);
  assert.deepEqual([...Deno.readDirSync(dir.path)].map(({ name }) => name), ["app.db-harmonylite.json"]);
  const { natsServer, ...rest } = readNodeState(database)!;
  assert.deepEqual({ ...rest, natsServer: { ...natsServer, monitor: undefined } }, STATE);
  removeNodeState(database);
  removeNodeState(database);
  assert.equal(readNodeState(database), undefined);
});

Deno.test("a state that cannot be understood counts as none", async () => {
  await using dir = await makeTempDir();
  for (
    const text of [
      "",
      "{",
      "null",
      "1",
      "{}",
      '{"node":"1","natsServer":null}',
      '{"node":"1","natsServer":{}}',
    ]
  ) {
    Deno.writeTextFileSync(nodeStatePath(dir.file("app.db")), text);
    assert.equal(readNodeState(dir.file("app.db")), undefined, text);
  }
});
