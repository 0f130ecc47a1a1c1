/**
 * Programs that read a disk as a file: `/mnt/disk`, in a mount namespace of the program's own, served by this process. The mount
 * is seen by nobody else, and is gone with the program however this process ends. The host's kernel never mounts the disk itself.
 *
 * Disks may be hostile, and such a program reads them with root's user id: so it runs without capabilities and network, with
 * limited memory, and never longer than it is told to.
 */
import { describeError, StillpointError, toError } from "../../errors.ts";
import { streamCommand } from "../../host/process.ts";
import { FileServer, mayMount, mountOptions } from "../mount/file-server.ts";
import type { DiskBytes, WritableDisk } from "./disk-bytes.ts";

export const diskFile = "/mnt/disk";
/** Holds `commands`. */
export const commandFile = "/mnt/commands";

export interface ToolOptions {
  /** The program first; all must be installed with e2fsprogs. */
  readonly argv: readonly string[];
  readonly commands?: string | undefined;
  /** In ms. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

/** /dev/fuse comes as standard input; the program itself has an empty one. */
const script = `mount -i -t fuse -o ${mountOptions(0)} stillpoint /mnt && exec "$@" < /dev/null`;

/** In bytes, of addresses: e2fsck and debugfs want a few MiB for each GiB of a disk. */
const memory = 4 * 1024 ** 3;

const sandbox = [
  ["unshare", "--mount", "--net", "--ipc", "sh", "-c", script, "sh"],
  ["prlimit", `--as=${memory}`, "--core=0"],
  ["setpriv", "--pdeathsig=KILL", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"],
].flat();

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
  const { timeout, signal, argv } = options;
  const env = { LC_ALL: "C", PATH: `${process.env["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
  try {
    const words = yield* streamCommand([...sandbox, ...argv], { inputFile: server.fd, timeout, signal, env });
    if (failed !== undefined) throw failed;
    return words;
  } catch (error) {
    if (failed !== undefined) throw failed;
    if (signal?.aborted === true) throw error;
    throw new StillpointError("disk_unreadable", {
      what: `Cannot look into the disk: ${argv[0] ?? ""}: ${describeError(error).replace(/^Cannot run unshare: /, "")}`.replace(
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
