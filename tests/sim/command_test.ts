import assert from "node:assert/strict";
import { listText, parseCommand, UsageError } from "./command.ts";

Deno.test("a command says which seeds, how long, and which steps", () => {
  assert.deepEqual(parseCommand([]), {
    kind: "hunt",
    first: 1,
    last: 300,
    steps: undefined,
    firstOnly: false,
  });
  assert.deepEqual(parseCommand(["--seeds", "5-9", "--steps=40"]), {
    kind: "hunt",
    first: 5,
    last: 9,
    steps: 40,
    firstOnly: false,
  });
  assert.deepEqual(parseCommand(["--forever", "--from", "7"]), {
    kind: "hunt",
    first: 7,
    last: Infinity,
    steps: undefined,
    firstOnly: false,
  });
  assert.deepEqual(parseCommand(["--seed", "3", "--only", "1,4-6"]), {
    kind: "replay",
    seed: 3,
    steps: undefined,
    only: [1, 4, 5, 6],
  });
});

Deno.test("a list of steps is read as it was printed", () => {
  for (const list of [[], [4], [1, 2, 3, 7, 9, 10]]) {
    const command = parseCommand(["--seed", "1", "--only", listText(list)]);
    assert.deepEqual(command.kind === "replay" && command.only, list);
  }
});

Deno.test("a command that means nothing is refused", () => {
  for (
    const args of [["--seed", "x"], ["--seed", "0"], ["--seeds", "9-5"], ["--only", "3"], ["--sede", "3"], [
      "3",
    ]]
  ) {
    assert.throws(() => parseCommand(args), UsageError, args.join(" "));
  }
});
