import assert from "node:assert/strict";
import { makeTempDir, type TempDir } from "../../tests/support/temp.ts";
import { writePortable } from "./portable.ts";

/** In place of the runtime: the first stage allows one thing with an awkward name, the second shows its arguments. */
const RUNTIME = `#!/bin/sh
case " $* " in
*"/plan.js "*) echo "'--allow-it='\\\\''s \\$HOME'" ;;
*) for word in "$@"; do echo "[$word]"; done; echo "server $NATS_SERVER, $MALLOC_MMAP_THRESHOLD_" ;;
esac
`;
/** The shells that stand for \`sh\` on the machines that we know, where this machine has them. */
const SHELLS = [["sh"], ["bash", "--posix"], ["busybox", "sh"]];

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A portable file around a runtime of a few bytes. */
async function build(dir: TempDir): Promise<string> {
  const stage = dir.file("stage");
  await Deno.mkdir(stage);
  await Deno.writeTextFile(`${stage}/harmonylite`, RUNTIME, { mode: 0o755 });
  await Deno.writeTextFile(`${stage}/nats-server`, "#!/bin/sh\n", { mode: 0o755 });
  for (const name of ["plan.js", "entry.js"]) await Deno.writeTextFile(`${stage}/${name}`, "");
  const path = dir.file("harmonylite");
  await writePortable(path, stage, { version: "1.2.3", target: "any" });
  return path;
}

async function start(
  command: readonly string[],
  env: Record<string, string>,
  args: readonly string[] = ["version"],
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(command[0]!, {
    args: [...command.slice(1), ...args],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", ...env },
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The one folder that a start has unpacked into below another. */
function unpacked(folder: string): string {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assert.equal(names.length, 1, names.join());
  assert.match(names[0]!, /^1\.2\.3-[0-9a-f]{16}$/);
  return `${folder}/${names[0]}`;
}

Deno.test("the portable file starts the program with what the first stage allows and the user's own words", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  const words = ["run", "", "a b", "it's", '"$HOME" `id` $(id) \\', "*", "two\nlines"];
  const shells = SHELLS.filter(([name]) => ["/bin", "/usr/bin"].some((bin) => exists(`${bin}/${name}`)));
  for (const shell of [[], ...shells]) {
    const { code, stdout, stderr } = await start(
      [...shell, file],
      { HARMONYLITE_CACHE: dir.file("cache") },
      words,
    );
    assert.deepEqual([code, stderr], [0, ""], shell.join(" "));
    const folder = unpacked(dir.file("cache"));
    const options = [
      "run",
      "--quiet",
      "--no-config",
      "--no-lock",
      "--no-remote",
      "--no-npm",
      "--allow-it='s $HOME",
    ];
    const shown = [...options, `${folder}/entry.js`, ...words].map((word) => `[${word}]\n`).join("");
    assert.equal(stdout, `${shown}server ${folder}/nats-server, 524288\n`, shell.join(" "));
  }
  console.log(`shells tried: ${shells.map(([name]) => name).join(", ")}`);
});

Deno.test("the portable file unpacks once, closed to other users, and takes the nats-server that the user names", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  const env = { XDG_CACHE_HOME: dir.file("xdg"), NATS_SERVER: "/my/nats-server" };
  await start([file], env);
  const folder = unpacked(`${dir.file("xdg")}/harmonylite-program`);
  const inode = (): number | null => Deno.statSync(`${folder}/harmonylite`).ino;
  const [before, mode] = [inode(), Deno.statSync(folder).mode! & 0o777];
  assert.equal(mode, 0o700);
  assert.match((await start([file], env)).stdout, /server \/my\/nats-server, 524288\n$/);
  assert.equal(inode(), before);
});

Deno.test("many first starts at once all work", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  const starts = Array.from({ length: 12 }, () => start([file], { HOME: dir.path }));
  for (const { code, stderr } of await Promise.all(starts)) assert.deepEqual([code, stderr], [0, ""]);
  const left = [...Deno.readDirSync(unpacked(dir.file(".cache/harmonylite-program")))].map(({ name }) =>
    name
  );
  assert.deepEqual(left.sort(), [".complete", "entry.js", "harmonylite", "nats-server", "plan.js"]);
});

Deno.test("what a killed first start has left is not run", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  const env = { HOME: dir.path };
  await start([file], env);
  const folder = unpacked(dir.file(".cache/harmonylite-program"));
  await Deno.remove(`${folder}/.complete`);
  await Deno.remove(`${folder}/entry.js`);
  await Deno.writeTextFile(`${folder}/harmonylite`, "#!/bin/sh\necho cut");
  assert.match((await start([file], env)).stdout, /^\[run\]/);
});

Deno.test("a folder that others can write to, or that is another's, is not used", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  const hostile: [string, (folder: string) => void][] = [
    ["open to all", (folder) => Deno.chmodSync(folder, 0o777)],
    ["open to a group", (folder) => Deno.chmodSync(folder, 0o770)],
    ["a link", (folder) => {
      Deno.renameSync(folder, `${folder}-real`);
      Deno.symlinkSync(`${folder}-real`, folder);
    }],
  ];
  if (Deno.uid() === 0) hostile.push(["another's", (folder) => Deno.chownSync(folder, 12345, 12345)]);
  for (const [name, spoil] of hostile) {
    for (const depth of ["base", "program"]) {
      const home = dir.file(`${name}-${depth}`.replaceAll(/\W/g, "-"));
      await start([file], { HARMONYLITE_CACHE: home });
      const trap = depth === "base" ? home : unpacked(home);
      Deno.writeTextFileSync(`${unpacked(home)}/harmonylite`, "#!/bin/sh\necho trapped", { mode: 0o755 });
      spoil(trap);
      const { code, stdout, stderr } = await start([file], { HARMONYLITE_CACHE: home });
      assert.deepEqual([code, stdout], [1, ""], `${name}, ${depth}`);
      assert.match(stderr, /Cannot unpack to .*\n {2}It must belong to this user, be closed/);
    }
  }
});

Deno.test("without a home, or with one that cannot be written, another folder of the user's is found", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  for (const env of [{}, { HOME: "/proc" }, { HOME: "/dev/null", XDG_CACHE_HOME: "/proc/x" }]) {
    const temporary = dir.file(`tmp-${Object.keys(env).length}-${env.HOME?.length ?? 0}`);
    await Deno.mkdir(temporary);
    const { code, stderr } = await start([file], { TMPDIR: temporary, ...env });
    assert.deepEqual([code, stderr], [0, ""]);
    unpacked(`${temporary}/harmonylite-program-${Deno.uid()}`);
  }
  const nowhere = await start([file], { HOME: "/proc", TMPDIR: "/proc" });
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /Cannot unpack: no folder .*\n {2}Name one in .* HARMONYLITE_CACHE\.\n$/);
});

Deno.test("a portable file that was cut or changed is not unpacked", async () => {
  await using dir = await makeTempDir();
  const file = await build(dir);
  const bytes = await Deno.readFile(file);
  for (
    const [name, damaged] of [["cut", bytes.slice(0, -20)], [
      "changed",
      bytes.with(bytes.length - 30, 0),
    ]] as const
  ) {
    const path = dir.file(name);
    await Deno.writeFile(path, damaged, { mode: 0o755 });
    const { code, stdout, stderr } = await start([path], { HOME: dir.path });
    assert.deepEqual([code, stdout], [1, ""], name);
    assert.match(stderr, /^harmonylite: Cannot unpack .*: it is damaged\n$/);
  }
});

Deno.test("the same content gives the same file", async () => {
  await using first = await makeTempDir();
  await using second = await makeTempDir();
  const files = [await build(first), await build(second)].map((path) => Deno.readFileSync(path));
  assert.deepEqual(files[0], files[1]);
});

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false; // This machine does not have it.
  }
}
