/**
 * The configuration as the rest of Stillpoint sees it: checked, every default filled in, names resolved to what they
 * name. Durations are in ms, rates in bytes per second, paths absolute or relative to where Stillpoint runs.
 */

import type { Bandwidth } from "./bandwidth.ts";
import type { KeepRules } from "./retention.ts";
import type { UnreplicatedCap } from "./retain.ts";
import type { Schedule } from "./schedule.ts";

export interface Config {
  readonly repository: RepositorySettings;
  readonly replicas: readonly Replica[];
  readonly sources: readonly Source[];
  readonly policies: readonly Policy[];
  readonly maintenance: Maintenance;
  readonly daemon: DaemonSettings;
  /** What is allowed and hardly meant, ready to print: `file:line:column: message`. */
  readonly warnings: readonly string[];
  readonly file: ConfigText;
}

/** The file itself, as it was read. */
export interface ConfigText {
  /** Absolute. */
  readonly path: string;
  readonly text: string;
}

export interface RepositorySettings {
  readonly path: string;
  readonly key: KeyOrigin;
  /** Folder for the control socket and for what can be found out again, such as a replica's last known point. */
  readonly state: string;
}

/** Where the key of the repository comes from; never the key itself. */
export type KeyOrigin =
  | { readonly kind: "key_file"; readonly path: string }
  | { readonly kind: "passphrase_file"; readonly path: string }
  /** A systemd credential: the file of that name in $CREDENTIALS_DIRECTORY. */
  | { readonly kind: "key_credential"; readonly name: string };

export interface Replica {
  readonly name: string;
  readonly place: ReplicaPlace;
  /** Undefined is as fast as it goes. */
  readonly bandwidth: Bandwidth | undefined;
  /** Whether this host can only add there: somebody else prunes and sweeps. */
  readonly appendOnly: boolean;
}

/** Where a replica is: a storage's address without its name. */
export type ReplicaPlace = FolderPlace | S3Place | SftpPlace;

export interface FolderPlace {
  readonly kind: "fs";
  readonly path: string;
}

/** In a bucket of AWS S3 or of a store that speaks its language. */
export interface S3Place {
  readonly kind: "s3";
  /** A URL; undefined for AWS's own of the region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly bucket: string;
  /** "", or ending in `/`. */
  readonly prefix: string;
  readonly pathStyle: boolean;
  readonly caFile: string | undefined;
  readonly credentials: S3CredentialsOrigin;
  /** How what is there is locked; undefined where it isn't. */
  readonly objectLock: "governance" | "compliance" | undefined;
}

/** On an SFTP server. What is undefined is as ssh_config has it. */
export interface SftpPlace {
  readonly kind: "sftp";
  readonly host: string;
  readonly port: number | undefined;
  readonly user: string | undefined;
  /** Absolute, or relative to where the server puts the user. */
  readonly path: string;
  readonly identityFile: string | undefined;
  readonly knownHostsFile: string | undefined;
  readonly sshConfig: string | undefined;
}

/** Where a secret comes from; never the secret itself. */
export type SecretOrigin =
  | { readonly kind: "file"; readonly path: string }
  /** A systemd credential: the file of that name in $CREDENTIALS_DIRECTORY. */
  | { readonly kind: "credential"; readonly name: string };

/** Where the access key comes from; never the key itself. */
export type S3CredentialsOrigin =
  | SecretOrigin
  /** Where AWS's programs look for it. */
  | { readonly kind: "chain" };

export type Source = DirectorySource | ImageSource | CommandSource | VmSource;

interface SourceBase {
  readonly name: string;
  readonly hooks: Hooks;
  readonly tags: readonly string[];
}

export interface DirectorySource extends SourceBase {
  readonly kind: "directory";
  readonly path: string;
  readonly exclude: readonly string[];
  readonly oneFileSystem: boolean;
  /** Stillpoint's own folders under `path`: the repository, replicas, state. Never captured. */
  readonly leaveOut: readonly string[];
}

export interface ImageSource extends SourceBase {
  readonly kind: "image";
  readonly path: string;
}

export interface CommandSource extends SourceBase {
  readonly kind: "command";
  /** Program and arguments; no shell. */
  readonly run: readonly string[];
  readonly timeout: number;
  readonly environment: Readonly<Record<string, string>>;
}

/** A QEMU virtual machine. */
export interface VmSource extends SourceBase {
  readonly kind: "vm";
  /** Path of its QMP socket. */
  readonly qmp: string;
  /** Whether RAM, processors and devices are captured too. */
  readonly memory: boolean;
  /** The longest that the guest may stand still. */
  readonly maxPause: number;
  /** Names of disks. */
  readonly disks: "all" | readonly string[];
  /** Path of the guest agent's socket: freezes the guest's file systems for a point without memory. */
  readonly guestAgent: string | undefined;
  /** Folder for what QEMU writes during a capture. */
  readonly spool: string;
  /** Bytes of old content of the disks that may be kept there during a capture. */
  readonly scratch: number;
}

/** `after` and `always` run whatever happens; a `before` that fails cancels the capture. */
export interface Hooks {
  readonly before: Hook | undefined;
  readonly after: Hook | undefined;
  readonly always: Hook | undefined;
}

export interface Hook {
  readonly run: readonly string[];
  readonly timeout: number;
}

export interface Policy {
  readonly name: string;
  /** At least one. */
  readonly sources: readonly Source[];
  /** Whether all sources are captured at one instant; then there are at least two. */
  readonly together: boolean;
  readonly schedule: Schedule;
  readonly objectives: Objectives;
  readonly keep: KeepRules;
  readonly unreplicated: UnreplicatedCap;
  readonly replicate: readonly Replication[];
}

/** Ages that the newest recovery point must not pass: here, and at every replica. */
export interface Objectives {
  readonly rpo: number | undefined;
  readonly offsiteRpo: number | undefined;
}

export interface Replication {
  readonly replica: Replica;
  /** The rules there; those of the policy when the file gives none. */
  readonly keep: KeepRules;
  /** The name of another replica of the policy, which the points are taken from; undefined: the primary. */
  readonly from: string | undefined;
  /** For how long, at any moment, what they keep can't be destroyed there; undefined when nothing is locked. */
  readonly lock: number | undefined;
}

export interface Maintenance {
  /** When space is freed. */
  readonly sweep: Schedule;
  /** How long unreferenced data stays at least, and how long a capture may take at most. */
  readonly grace: number;
  /** The share of a source's points, 0 to 1, that rules which are new to it may forget at once. */
  readonly retentionGuard: number;
  readonly check: CheckSettings;
}

export interface CheckSettings {
  readonly schedule: Schedule;
  /** Each check reads one of this many parts of the stored bytes, another one each time; undefined reads none. */
  readonly readDataParts: number | undefined;
}

export interface DaemonSettings {
  readonly listen: { readonly host: string; readonly port: number };
  /** Captures at the same time. */
  readonly concurrency: number;
  readonly logLevel: LogLevel;
  readonly notify: NotifySettings;
}

/** Who is told what. Channels that are undefined aren't used. */
export interface NotifySettings {
  readonly webhook: WebhookSettings | undefined;
  readonly email: EmailSettings | undefined;
  readonly ping: PingSettings | undefined;
  /** The least time between two messages by the same channel, in ms. */
  readonly interval: number;
  /** After how many ms a trouble that lasts is told again; undefined is never. */
  readonly remind: number | undefined;
}

interface HttpSettings {
  readonly url: SecretOrigin;
  readonly caFile: string | undefined;
  /** In ms. */
  readonly timeout: number;
}

export interface WebhookSettings extends HttpSettings {
  /** With a header on each line; they may be secrets. */
  readonly headersFile: string | undefined;
  readonly on: readonly NotifyEvent[];
}

export interface PingSettings extends HttpSettings {
  /** In ms. */
  readonly every: number;
}

export interface EmailSettings {
  readonly to: readonly string[];
  readonly from: string | undefined;
  /** Path of the program. */
  readonly sendmail: string;
  /** In ms. */
  readonly timeout: number;
  readonly on: readonly NotifyEvent[];
}

export type NotifyEvent = "failure" | "objective_missed" | "recovered";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";
