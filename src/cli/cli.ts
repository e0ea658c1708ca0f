import { HarmonyLiteError } from "../lib/errors.ts";
import { redactor } from "../lib/redact.ts";
import { check } from "./check.ts";
import { cleanup } from "./cleanup.ts";
import { type Command, UsageError } from "./command.ts";
import { parseCommand } from "./parse_command.ts";
import { renderHelp } from "./help.ts";
import { init } from "./init.ts";
import { EXIT, type Io } from "./io.ts";
import { run } from "./run.ts";
import { verify } from "./verify.ts";
import { renderVersion } from "./version.ts";

/** Does what the arguments ask for and returns the exit code. Never throws, never exits. */
export async function main(args: readonly string[], io: Io): Promise<number> {
  try {
    return await execute(parseCommand(args), io) ?? EXIT.ok;
  } catch (error) {
    if (io.signal.aborted && error === io.signal.reason) return EXIT.interrupted;
    io.stderr.write(describe(error));
    return error instanceof UsageError ? EXIT.usage : EXIT.failure;
  }
}

/** Undefined when there is nothing to say but that it was done. */
async function execute(command: Command, io: Io): Promise<number | void> {
  switch (command.name) {
    case "run":
      return await run(command.choice, io);
    case "stop":
      return await (await import("./stop.ts")).stop(command.choice, io);
    case "check":
      return await check(command.choice, io);
    case "verify":
      return await verify(command, io);
    case "cleanup":
      return await cleanup(command, io);
    case "snapshot":
      return await (await import("./snapshot.ts")).snapshot(command, io);
    case "status":
      return await (await import("./status.ts")).status(command, io);
    case "schema":
      return await (await import("./schema.ts")).schema(command, io);
    case "conflicts":
      return await (await import("./conflicts.ts")).conflicts(command, io);
    case "doctor":
      return await (await import("./doctor.ts")).doctor(command, io);
    case "ids":
      return await (await import("./ids.ts")).ids(command, io);
    case "init":
      return await init(command, io);
    case "version":
      return io.stdout.write(renderVersion());
    case "help":
      return io.stdout.write(renderHelp(command.topic));
  }
}

/** What was foreseen needs no stack; what was not is a bug, and its stack says where. */
function describe(error: unknown): string {
  const redact = redactor();
  if (!(error instanceof HarmonyLiteError)) {
    const stack = error instanceof Error ? error.stack ?? error.message : String(error);
    return redact(`harmonylite: unexpected error, please report it\n${stack}\n`);
  }
  return redact(`harmonylite: ${error.message}\n${error.hint === undefined ? "" : `  ${error.hint}\n`}`);
}
