import assert from "node:assert/strict";
import { localAddress, parseListenAddress } from "./listen_address.ts";

Deno.test("addresses are split, and no host means all interfaces", () => {
  assert.deepEqual(parseListenAddress("127.0.0.1:4222"), { host: "127.0.0.1", port: 4222 });
  assert.deepEqual(parseListenAddress(":-1"), { host: "0.0.0.0", port: -1 });
  assert.deepEqual(parseListenAddress("[::1]:8222"), { host: "::1", port: 8222 });
  const local = (text: string): string => localAddress(parseListenAddress(text));
  assert.deepEqual([":1", "[::]:2", "[fd00::1]:3", "example.org:4"].map(local), [
    "127.0.0.1:1",
    "[::1]:2",
    "[fd00::1]:3",
    "example.org:4",
  ]);
});
