import { runProgram } from "../support/process.ts";
import { mountSmallDisk } from "../support/small_disk.ts";
import { findOpenSsh } from "../support/server_programs.ts";
import { type LoopbackServer, startLoopbackServer } from "../support/loopback_server.ts";
import { makeTempDir } from "../support/temp.ts";
import { namesIn, SMALL_BYTES, type StoreLab, strangers } from "./snapshot_store_lab.ts";

const USER = "keeper";
const PASSWORD = "sftp&p@ss:w0rd";
/** `openssl passwd -6` of it. */
const PASSWORD_HASH =
  "$6$harmonylite$chQ1.0Dlpy6MLk7jFlilU/gSdIPuGKcT6fD8KiA/YVRWP9GLg4hyYWIWBv7vAy2mrw7Fok/Wlz0lvKyqhh0Hz.";

export interface SftpLab extends StoreLab {
  /** Private key that the server accepts, and the same one encrypted with `passphrase`. */
  readonly keyFile: string;
  readonly encryptedKeyFile: string;
  readonly passphrase: string;
  /** Line of the server for a `known_hosts` file. */
  readonly knownHost: string;
  readonly fingerprint: string;
  /** URL of a folder. */
  url(folder: string, password?: string): string;
}

/**
 * OpenSSH's own server under the user of this process, with users and passwords of its own through libnss-wrapper, so that
 * nothing of the machine is read or changed.
 */
async function startSshd(dir: string): Promise<LoopbackServer> {
  const root = await findOpenSsh();
  const libraries = `${root}/usr/lib/${Deno.build.arch}-linux-gnu`;
  const ids = `${Deno.uid()}:${Deno.gid()}`;
  await Deno.writeTextFile(
    `${dir}/passwd`,
    `${USER}:x:${ids}::${dir}/home:/bin/sh\nsshd:x:65534:65534::/run/sshd:/bin/false\n`,
  );
  await Deno.writeTextFile(`${dir}/group`, `${USER}:x:${Deno.gid()}:\n`);
  await Deno.writeTextFile(`${dir}/shadow`, `${USER}:${PASSWORD_HASH}:19000:0:99999:7:::\n`);
  // Where sshd locks up the part of it that talks to strangers, when it is root.
  if (Deno.uid() === 0) await Deno.mkdir("/run/sshd", { recursive: true });
  const config = `
    HostKey ${dir}/host_key
    PidFile none
    UsePAM no
    StrictModes no
    PermitRootLogin yes
    KbdInteractiveAuthentication no
    AuthorizedKeysFile ${dir}/user_key.pub
    Subsystem sftp ${root}/usr/lib/openssh/sftp-server`;
  await Deno.writeTextFile(`${dir}/sshd_config`, config);
  return await startLoopbackServer({
    name: "sshd",
    command: `${root}/usr/sbin/sshd`,
    args: (port) => ["-D", "-e", "-f", `${dir}/sshd_config`, "-o", `ListenAddress=127.0.0.1:${port}`],
    env: {
      LD_LIBRARY_PATH: libraries,
      LD_PRELOAD: `${libraries}/libnss_wrapper.so`,
      NSS_WRAPPER_PASSWD: `${dir}/passwd`,
      NSS_WRAPPER_GROUP: `${dir}/group`,
      NSS_WRAPPER_SHADOW: `${dir}/shadow`,
    },
  });
}

/** OpenSSH's program for keys and `known_hosts` files. */
export async function sshKeygen(...args: string[]): Promise<string> {
  return await runProgram(`${await findOpenSsh()}/usr/bin/ssh-keygen`, args);
}

async function makeKeys(dir: string, passphrase: string): Promise<void> {
  const make = (name: string, phrase: string): Promise<string> =>
    sshKeygen("-q", "-t", "ed25519", "-N", phrase, "-f", `${dir}/${name}`);
  await make("host_key", "");
  await make("user_key", "");
  await Deno.copyFile(`${dir}/user_key`, `${dir}/encrypted_key`);
  await Deno.chmod(`${dir}/encrypted_key`, 0o600);
  await sshKeygen("-q", "-p", "-P", "", "-N", passphrase, "-f", `${dir}/encrypted_key`);
}

export async function startSftpLab(): Promise<SftpLab> {
  await using starting = new AsyncDisposableStack();
  const temp = starting.use(await makeTempDir());
  const passphrase = "key-passphrase";
  await Deno.mkdir(temp.file("home"));
  await makeKeys(temp.path, passphrase);
  const { port } = starting.use(await startSshd(temp.path));
  const stack = starting.move();
  const [type, key] = (await Deno.readTextFile(temp.file("host_key.pub"))).split(" ");
  const fingerprint = (await sshKeygen("-lf", temp.file("host_key.pub"))).split(" ")[1] ??
    "";
  const url = (path: string, password = PASSWORD, toPort = port): string =>
    `sftp://${USER}:${encodeURIComponent(password)}@127.0.0.1:${toPort}${path}`;
  const tomlOf = (of: string): string => `
    [snapshot]
    store = "sftp"
    [snapshot.sftp]
    url = "${of}"
    host_key = "${fingerprint}"`;
  return {
    adapter: `SftpStore, ${await bannerOf(port)}`,
    port,
    secrets: [PASSWORD, encodeURIComponent(PASSWORD)],
    keyFile: temp.file("user_key"),
    encryptedKeyFile: temp.file("encrypted_key"),
    passphrase,
    knownHost: `[127.0.0.1]:${port} ${type} ${key}`,
    fingerprint,
    url: (folder, password) => url(`/~/clusters/${folder}`, password),
    toml: (folder, access = {}) =>
      tomlOf(url(`/~/clusters/${folder}`, access.wrongSecret ? "wr0ngpass" : undefined, access.port)),
    leftovers: (folder, objects) =>
      Promise.resolve(strangers(namesIn(temp.file(`home/clusters/${folder}`)), objects)),
    damage: (folder, name) => Deno.truncate(temp.file(`home/clusters/${folder}/${name}`), 1_000_000),
    fullCodes: ["STORE_FULL"],
    startSmall: async () => {
      const disk = await mountSmallDisk(SMALL_BYTES);
      return disk === undefined ? undefined : tomlOf(url(`${stack.use(disk).path}/snapshots`));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The first line that an SSH server sends. */
async function bannerOf(port: number): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const buffer = new Uint8Array(256);
  const length = await connection.read(buffer) ?? 0;
  return new TextDecoder().decode(buffer.subarray(0, length)).trim();
}
