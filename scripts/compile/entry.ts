/** Where the bundled program begins: first what bundling and locking take from libraries, then the program. */
import process from "node:process";
import { visibleVariable } from "../../src/lib/environment.ts";

/**
 * Libraries look for settings of their own in the environment. A variable that a locked program may not see is not there
 * for them, instead of ending it.
 */
process.env = new Proxy({}, {
  get: (_, name) => typeof name === "string" ? visibleVariable(name) : undefined,
  has: (_, name) => typeof name === "string" && visibleVariable(name) !== undefined,
});

// A part of ssh2 wants the variable that CommonJS modules have, and a bundle is none.
Object.assign(globalThis, { __dirname: import.meta.dirname });

const { start } = await import("../../main.ts");
await start();
