/**
 * The first stage of the portable file, which is not locked: reads the command line and the configuration that it names, and
 * prints the permissions of the second stage, the program itself, as words of a shell.
 */
import { permissionsFor } from "../../src/cli/permissions.ts";
import { permissionFlags, quoteForShell, V8_FLAG } from "./flags.ts";

const permissions = await permissionsFor(Deno.args, {
  natsServer: Deno.env.get("NATS_SERVER"),
  home: Deno.env.get("HOME"),
});
// The program is made of several files, some of them read when they are needed.
const flags = permissionFlags({ ...permissions, read: [...permissions.read, import.meta.dirname!] });
console.log([V8_FLAG, ...flags].map(quoteForShell).join(" "));
