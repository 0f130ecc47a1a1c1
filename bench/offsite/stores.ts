/** The stores that offsite copies go to, each with what every program needs to reach it: a Ceph in memory, and an sshd. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import * as path from "node:path";
import { Ceph } from "../../test/helpers/ceph.ts";
import { startSshd } from "../../test/helpers/sshd.ts";
import type { Command } from "../measure.ts";

export interface Store extends AsyncDisposable {
  readonly name: "s3" | "sftp";
  /** On loopback. */
  readonly port: number;
  /** Of a replica below that name, by way of `port`: what the configuration has, as plain data. */
  replica(name: string, port?: number): object;
  restic(name: string, args: readonly string[]): Command;
  /** Copies a folder below that name. */
  rclone(name: string, folder: string): Command;
}

const bucket = "recovery";

export async function startS3(): Promise<Store> {
  const ceph = await Ceph.start();
  await ceph.makeBucket(bucket);
  const credentials = ceph.writeCredentials();
  const keys = { AWS_ACCESS_KEY_ID: ceph.accessKey, AWS_SECRET_ACCESS_KEY: ceph.secretKey };
  const at = new URL(ceph.endpoint);
  return {
    name: "s3",
    port: Number(at.port),
    replica: (name, port = Number(at.port)) => ({
      s3: { endpoint: `http://127.0.0.1:${String(port)}`, bucket, prefix: name, credentials_file: credentials },
    }),
    restic: (name, args) => {
      const repository = `s3:${ceph.endpoint}/${bucket}/${name}`;
      return resticTo(repository, path.join(ceph.folder, `cache-${name}`), args, keys);
    },
    rclone: (name, folder) => {
      const remote = `:s3,provider=Ceph,env_auth,force_path_style,endpoint="${ceph.endpoint}":${bucket}/${name}`;
      return rcloneTo(remote, folder, ceph.folder, keys);
    },
    [Symbol.asyncDispose]: async () => await ceph.stop(),
  };
}

/** Its files are in memory, as Ceph's are: programs are compared, not how often they wait for a disk. */
export async function startSftp(): Promise<Store> {
  const sshd = await startSshd();
  const { port, user, identity, knownHosts } = sshd;
  const folder = mkdtempSync("/dev/shm/stillpoint-bench-");
  const at = (name: string): string => path.join(folder, name);
  const known = readFileSync(knownHosts, "utf8");
  const ssh = `ssh -p ${String(port)} -i ${identity} -o UserKnownHostsFile=${knownHosts}`;
  return {
    name: "sftp",
    port,
    replica: (name, through = port) => {
      // By another port it is another host to ssh, whose key is the same.
      appendFileSync(knownHosts, known.replace(`:${String(port)} `, `:${String(through)} `));
      const place = { host: "127.0.0.1", port: through, user, path: at(name) };
      return { sftp: { ...place, identity_file: identity, known_hosts_file: knownHosts } };
    },
    restic: (name, args) => {
      const command = `sftp.command=${ssh} ${user}@127.0.0.1 -s sftp`;
      const cache = path.join(sshd.folder, `cache-${name}`);
      return resticTo(`sftp:${user}@127.0.0.1:${at(name)}`, cache, ["-o", command, ...args]);
    },
    rclone: (name, source) => {
      const login = `host=127.0.0.1,port=${String(port)},user=${user},key_file=${identity},known_hosts_file=${knownHosts}`;
      return rcloneTo(`:sftp,${login}:${at(name)}`, source, sshd.folder);
    },
    [Symbol.asyncDispose]: async () => {
      await sshd.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function resticTo(
  repository: string,
  cache: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Command {
  const env = { RESTIC_PASSWORD: "measured", RESTIC_CACHE_DIR: cache, ...environment };
  return { program: "restic", args: ["--repo", repository, "--quiet", ...args], env };
}

function rcloneTo(
  remote: string,
  source: string,
  folder: string,
  environment: Readonly<Record<string, string>> = {},
): Command {
  // Its S3 library takes no other authorities than those of the system: a bundle of the environment ends it.
  const env = { RCLONE_CONFIG: path.join(folder, "rclone.conf"), AWS_CA_BUNDLE: "", ...environment };
  return { program: "rclone", args: ["copy", source, remote], env };
}
