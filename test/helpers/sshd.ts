/** A real sshd on loopback, with keys of its own. */

import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/host/clock.ts";
import { freePort } from "./free-port.ts";
import { runProgram } from "./sftp.ts";

export interface Sshd {
  readonly port: number;
  /** The user who runs the tests. */
  readonly user: string;
  /** Everything of the server: keys, configuration, log. Nobody but its owner can write there or in the folders above. */
  readonly folder: string;
  readonly identity: string;
  readonly knownHosts: string;
  /** `sftp://user@127.0.0.1:port/path?…`, with the keys to get in. */
  url(path: string, user?: string): string;
  log(): string;
  stop(): Promise<void>;
}

/** Starts one. `lines` are added to its configuration. */
export async function startSshd(lines: (folder: string) => readonly string[] = () => []): Promise<Sshd> {
  // Not below /tmp: sshd wants nobody else to be able to write into any folder above a chroot.
  const folder = mkdtempSync(join(process.getuid?.() === 0 ? "/run" : "/tmp", "stillpoint-sshd-"));
  chmodSync(folder, 0o755);
  const at = (name: string): string => join(folder, name);
  const { username: user } = userInfo();
  for (const name of ["host", "identity"]) runProgram("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at(name));
  const port = await freePort();
  writeFileSync(at("authorized"), readFileSync(at("identity.pub")));
  writeFileSync(at("known_hosts"), `[127.0.0.1]:${port} ${readFileSync(at("host.pub"), "utf8")}`);
  const config = [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${at("host")}`,
    `AuthorizedKeysFile ${at("authorized")}`,
    "PidFile none",
    "UsePAM no",
    "StrictModes no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "PermitRootLogin prohibit-password",
    "MaxStartups 100",
    "Subsystem sftp internal-sftp",
    ...lines(folder),
  ];
  writeFileSync(at("sshd_config"), `${config.join("\n")}\n`);
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const server = spawn("/usr/sbin/sshd", ["-D", "-f", at("sshd_config"), "-E", at("log")], { stdio: "ignore" });
  const log = (): string => (existsSync(at("log")) ? readFileSync(at("log"), "utf8") : "");
  await untilListening(port, server, log);
  const keys = `identity_file=${at("identity")}&known_hosts_file=${at("known_hosts")}`;
  return {
    port,
    user,
    folder,
    identity: at("identity"),
    knownHosts: at("known_hosts"),
    url: (path, login = user) => `sftp://${login}@127.0.0.1:${port}${path}?${keys}`,
    log,
    stop: async () => {
      const gone = new Promise((resolve) => void server.once("exit", resolve));
      if (server.exitCode === null && server.signalCode === null) {
        server.kill();
        await gone;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function untilListening(port: number, server: ChildProcess, log: () => string): Promise<void> {
  for (let tries = 0; tries < 2400; tries++) {
    if (server.exitCode !== null) throw new Error(`sshd ended: ${log()}`);
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (there) return;
    await systemClock.sleep(50);
  }
  throw new Error(`sshd doesn't listen: ${log()}`);
}
