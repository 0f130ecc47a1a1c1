/**
 * Programs that read a disk as a file: `/mnt/in/disk`, in a mount namespace of the program's own, served by this process. The mount
 * is seen by nobody else, and is gone with the program however this process ends. The host's kernel never mounts the disk itself.
 *
 * Disks may be hostile, so such a program runs as the user nobody, without capabilities and network, with limited memory, and never
 * longer than it is told to.
 */
import { describeError, StillpointError, toError } from "../../errors.ts";
import { streamCommand } from "../../host/process.ts";
import { FileServer, mayMount, mountOptions, type Owner } from "../mount/file-server.ts";
import type { DiskBytes, WritableDisk } from "./disk-bytes.ts";

export const diskFile = "/mnt/in/disk";
/** Holds `commands`. */
export const commandFile = "/mnt/in/commands";

export interface ToolOptions {
  /** The program first; all must be installed with e2fsprogs. */
  readonly argv: readonly string[];
  readonly commands?: string | undefined;
  /**
   * Whether to keep what it prints until it has ended, at most 256 MiB: debugfs makes a system call of nearly every word, and this
   * process would wake for each.
   */
  readonly collect?: boolean;
  /** In ms. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

/** Nobody: the number that Linux shows for users it has no number for, and nothing belongs to. */
const nobody: Owner = { uid: 65_534, gid: 65_534 };

/** /dev/fuse comes as standard input; the program itself has an empty one. */
const prelude = `mount -t tmpfs -o size=256m,mode=755 stillpoint /mnt && mkdir /mnt/in && mount -i -t fuse -o ${mountOptions(0, nobody)} stillpoint /mnt/in || exit`;
const streaming = `${prelude}; exec "$@" < /dev/null`;
const collecting = `${prelude}; "$@" < /dev/null > /mnt/out && cat /mnt/out`;

/** In bytes, of addresses: e2fsck and debugfs want a few MiB for each GiB of a disk. */
const memory = 4 * 1024 ** 3;

/** Whoever is killed takes those below along. */
const mortal = ["setpriv", "--pdeathsig=KILL"];

function sandboxed(argv: readonly string[], script: string): string[] {
  return [
    [...mortal, "unshare", "--mount", "--net", "--ipc", "sh", "-c", script, "sh"],
    ["prlimit", `--as=${memory}`, "--core=0"],
    [...mortal, `--reuid=${nobody.uid}`, `--regid=${nobody.gid}`, "--clear-groups"],
    ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"],
    argv,
  ].flat();
}

/**
 * What the program prints, piece by piece; returns what it said on standard error.
 *
 * Throws `disk_unreadable`, what reading the disk has thrown, or `cancelled`.
 */
export async function* runOnDisk(disk: DiskBytes | WritableDisk, options: ToolOptions): AsyncGenerator<Buffer, string> {
  if (!mayMount()) throw notPermitted();
  let failed: Error | undefined;
  const commands = Buffer.from(options.commands ?? "");
  const server = new FileServer({
    owner: nobody,
    files: [
      {
        name: "disk",
        size: disk.size,
        read: async (offset, length) => {
          try {
            return await disk.read(offset, length);
          } catch (error) {
            failed ??= toError(error);
            throw error;
          }
        },
        ...("write" in disk && { write: (offset, bytes) => disk.write(offset, bytes) }),
      },
      {
        name: "commands",
        size: commands.length,
        read: async (offset, length) => await Promise.resolve(commands.subarray(offset, offset + length)),
      },
    ],
    // Thrown, or a write that didn't fit, which the program complains of.
    onFailure: () => undefined,
  });
  const ended = new AbortController();
  const serving = server.serve(ended.signal);
  const { timeout, signal, argv, collect = false } = options;
  const program = sandboxed(argv, collect ? collecting : streaming);
  const env = { LC_ALL: "C", PATH: `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
  try {
    const words = yield* streamCommand(program, { inputFile: server.fd, timeout, signal, env });
    if (failed !== undefined) throw failed;
    return words;
  } catch (error) {
    if (failed !== undefined) throw failed;
    if (signal?.aborted === true) throw error;
    throw new StillpointError("disk_unreadable", {
      what: `Cannot look into the disk: ${argv[0] ?? ""}: ${describeError(error).replace(/^Cannot run setpriv: /, "")}`.replace(
        /\. Run it by hand.*$/,
        "",
      ),
      next: otherWay,
      cause: error,
    });
  } finally {
    ended.abort();
    await serving;
  }
}

export const otherWay =
  "`stillpoint serve` offers the disk to other tools: `guestfish --ro --format=raw -a 'nbd://?socket=PATH' -i` knows nearly every file system.";

function notPermitted(): StillpointError {
  return new StillpointError("disk_unreadable", {
    what: "Cannot look into the disk: only root can show it to the programs that read file systems, by /dev/fuse",
    safe: "The disk as a whole, and its partitions, can be read by every user who can open the repository.",
    next: otherWay,
  });
}
