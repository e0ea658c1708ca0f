import assert from "node:assert/strict";

const PROGRAM = new URL("sim.ts", import.meta.url).pathname;

async function sim(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const options = { args: ["run", "-A", "--frozen", "--no-check", PROGRAM, ...args] };
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("one seed is one run, byte for byte, in any process", async () => {
  const [once, again] = await Promise.all([sim("--seed", "16"), sim("--seed", "16")]);
  assert.equal(once.code, 0, once.stdout);
  assert.equal(once.stdout, again.stdout);
  assert.match(once.stdout, /all is well\n$/);
  assert.ok(once.stdout.split("\n").length > 50, once.stdout);
});

Deno.test("a command that is not understood says how it is used", async () => {
  const { code, stderr } = await sim("--seed", "x");
  assert.equal(code, 2);
  assert.match(stderr, /--seed needs a number.*\n\n.*deno task sim --seed N/s);
});
