/** Where the bundled program begins: first what bundling takes from libraries, then the program. */

// A part of ssh2 wants the variable that CommonJS modules have, and a bundle is none.
Object.assign(globalThis, { __dirname: import.meta.dirname });

const { start } = await import("../../main.ts");
await start();
