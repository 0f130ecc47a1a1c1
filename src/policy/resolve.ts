/** From the checked file to `Config`: defaults that depend on other settings, names, paths. */

import { posix } from "node:path";
import type * as c from "./config.ts";
import { isInside } from "./references.ts";
import { resolveNotify } from "./notify-settings.ts";
import { resolveS3Place } from "./replica-s3.ts";
import { resolveSftpPlace } from "./replica-sftp.ts";
import type { Schedule } from "./schedule.ts";
import type { ConfigFile } from "./schema.ts";

type File = ConfigFile;
type FileSchedule = File["policies"][string]["schedule"];
type FileSource = File["sources"][string];
type FileHook = NonNullable<FileSource["hooks"]["before"]>;

/** `path` makes an absolute path of a written one. Names have been checked by `referenceProblems`. */
export function resolveConfig(file: File, path: (written: string) => string): Omit<c.Config, "file" | "warnings"> {
  const repository = resolveRepository(file.repository, path);
  const replicas = Object.entries(file.replicas).map(
    ([name, replica]): c.Replica => ({
      name,
      place: resolvePlace(replica, path),
      bandwidth: replica.bandwidth,
      appendOnly: replica.append_only,
    }),
  );
  const replicaFolders = replicas.flatMap(({ place }) => (place.kind === "fs" ? [place.path] : []));
  const ownFolders = [repository.path, repository.state, ...replicaFolders];
  const sources = Object.entries(file.sources).map(([name, source]) =>
    resolveSource(name, source, path, { state: repository.state, ownFolders }),
  );
  return {
    repository,
    replicas,
    sources,
    policies: Object.entries(file.policies).map(([name, policy]) => resolvePolicy(name, policy, sources, replicas)),
    maintenance: {
      sweep: resolveSchedule(file.maintenance.sweep),
      grace: file.maintenance.grace,
      retentionGuard: file.maintenance.retention_guard,
      check: {
        schedule: resolveSchedule(file.maintenance.check.schedule),
        readDataParts: file.maintenance.check.read_data,
      },
    },
    daemon: {
      listen: resolveListen(file.daemon.listen),
      concurrency: file.daemon.concurrency,
      logLevel: file.daemon.log_level,
      notify: resolveNotify(file.daemon.notify, path),
    },
  };
}

function resolveRepository(file: File["repository"], path: (written: string) => string): c.RepositorySettings {
  const folder = path(file.path);
  return { path: folder, key: resolveKey(file, path), state: resolveState(file, path) };
}

/** The folder of the control socket. */
export function resolveState(
  { path: folder, state }: Pick<File["repository"], "path" | "state">,
  path: (written: string) => string,
): string {
  return path(state ?? posix.join(posix.dirname(path(folder)), "state"));
}

function resolvePlace(file: File["replicas"][string], path: (written: string) => string): c.ReplicaPlace {
  if (file.s3 !== undefined) return resolveS3Place(file.s3, file.object_lock, path);
  if (file.sftp !== undefined) return resolveSftpPlace(file.sftp, path);
  return { kind: "fs", path: path(known(file.path)) };
}

function resolveKey(file: File["repository"], path: (written: string) => string): c.KeyOrigin {
  if (file.key_file !== undefined) return { kind: "key_file", path: path(file.key_file) };
  if (file.passphrase_file !== undefined) return { kind: "passphrase_file", path: path(file.passphrase_file) };
  return { kind: "key_credential", name: known(file.key_credential) };
}

function resolveSource(
  name: string,
  file: FileSource,
  path: (written: string) => string,
  { state, ownFolders }: { readonly state: string; readonly ownFolders: readonly string[] },
): c.Source {
  const { before, after, always } = file.hooks;
  const base = { name, hooks: { before: hook(before), after: hook(after), always: hook(always) }, tags: file.tags };
  if (file.directory !== undefined) {
    const folder = path(file.directory.path);
    const { exclude, one_file_system: oneFileSystem } = file.directory;
    const leaveOut = ownFolders.filter((own) => isInside(own, folder));
    return { ...base, kind: "directory", path: folder, exclude, oneFileSystem, leaveOut };
  }
  if (file.image !== undefined) return { ...base, kind: "image", path: path(file.image.path) };
  if (file.command !== undefined) return { ...base, kind: "command", ...file.command };
  const { qmp, memory, max_pause: maxPause, disks, guest_agent: agent, spool, scratch } = known(file.vm);
  return {
    ...base,
    kind: "vm",
    qmp: path(qmp),
    memory,
    maxPause,
    disks,
    guestAgent: agent === undefined ? undefined : path(agent),
    spool: spool === undefined ? `${state}/spool` : path(spool),
    scratch,
  };
}

function hook(file: FileHook | undefined): c.Hook | undefined {
  return file === undefined ? undefined : { run: file.run, timeout: file.timeout };
}

function resolvePolicy(
  name: string,
  file: File["policies"][string],
  sources: readonly c.Source[],
  replicas: readonly c.Replica[],
): c.Policy {
  const { rpo, offsite_rpo: offsiteRpo } = file.objectives;
  return {
    name,
    sources: file.sources.map((wanted) => known(sources.find((source) => source.name === wanted))),
    together: file.together,
    schedule: resolveSchedule(file.schedule),
    objectives: { rpo: rpo ?? file.schedule.rpo, offsiteRpo },
    keep: file.keep,
    unreplicated: file.unreplicated,
    replicate: Object.entries(file.replicate).map(([wanted, { keep, from, lock }]) => ({
      replica: known(replicas.find((replica) => replica.name === wanted)),
      keep: keep ?? file.keep,
      from,
      lock,
    })),
  };
}

function resolveSchedule(file: FileSchedule): Schedule {
  const { cron, rpo, timezone, blackout, jitter = 0, missed = "run" } = file;
  if (cron !== undefined) return { kind: "cron", cron, timezone, blackout, jitter, missed };
  if (rpo !== undefined) return { kind: "rpo", rpo, timezone, blackout };
  return { kind: "manual", timezone, blackout };
}

function resolveListen(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: Number(text.slice(colon + 1)) };
}

/** What the schema and the references have established already. */
function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the configuration was resolved before it was checked");
  return value;
}
