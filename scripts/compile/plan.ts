/**
 * The first stage of the portable file, which is not locked: reads the command line and the configuration that it names, and
 * prints the permissions of the second stage, the program itself, as words of a shell. LOCKED_PROCESS is the number that the
 * second stage will have as a process.
 */
import { prepareFileEvents } from "../../src/capture/file_events.ts";
import { requireUser } from "../../src/capture/process_lock.ts";
import { planLock } from "../../src/cli/permissions.ts";
import { permissionFlags, quoteForShell, V8_FLAG } from "./flags.ts";

const { permissions, watched } = await planLock(Deno.args, {
  natsServer: Deno.env.get("NATS_SERVER"),
  home: Deno.env.get("HOME"),
});
if (watched !== undefined) {
  // Where that cannot be done the program says that it polls, or what is wrong with the folder or the user.
  await prepare(watched).catch(() => {});
}
// The program is made of several files, some of them read when they are needed.
const flags = permissionFlags({ ...permissions, read: [...permissions.read, import.meta.dirname!] });
console.log([V8_FLAG, ...flags].map(quoteForShell).join(" "));

async function prepare(database: string): Promise<void> {
  requireUser(database);
  await prepareFileEvents(database, Number(Deno.env.get("LOCKED_PROCESS")));
}
