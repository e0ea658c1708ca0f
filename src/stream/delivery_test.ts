import assert from "node:assert/strict";
import { parseDelivery } from "./delivery.ts";

const EXPECTED = {
  stream: "changes-1",
  streamSequence: 41,
  consumerSequence: 7,
  timeNs: 1795255244710651522n,
};

Deno.test("a delivery is read from the reply subject, to the nanosecond", () => {
  assert.deepEqual(parseDelivery("$JS.ACK.changes-1.hl_X.1.41.7.1795255244710651522.3"), EXPECTED);
});

Deno.test("a delivery is read from the form with domain and account", () => {
  const short = "$JS.ACK._.hash.changes-1.hl_X.1.41.7.1795255244710651522.3";
  assert.deepEqual(parseDelivery(short), EXPECTED);
  assert.deepEqual(parseDelivery(`${short}.random`), EXPECTED);
});

Deno.test("what is not a delivery is told apart", () => {
  for (const reply of ["", "_INBOX.a.b", "$JS.ACK.a.b.1.2.3", "$JS.ACK.s.c.1.x.7.1795255244710651522.3"]) {
    assert.equal(parseDelivery(reply), undefined, reply);
  }
});
