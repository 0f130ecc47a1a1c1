/**
 * A folder of files whose content comes from elsewhere when it is read. QEMU maps such a file privately as a guest's
 * memory, so that a guest runs before its memory has been read.
 *
 * The process that serves it must outlive everyone who has mapped a file: without it they die by SIGBUS.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describeError, StillpointError } from "../../errors.ts";
import { run } from "../../host/process.ts";
import { FileServer, mountOptions, type ServedFiles } from "../mount/file-server.ts";

export { mayMount, type MountedFile } from "../mount/file-server.ts";

export interface MountOptions extends ServedFiles {
  /** An empty folder. */
  readonly folder: string;
}

export class MemoryMount {
  readonly #folder: string;
  readonly #server: FileServer;
  #ended: Promise<void> = Promise.resolve();

  /** Mounts. Throws `target_failed`. */
  static async mount(options: MountOptions): Promise<MemoryMount> {
    const mount = new MemoryMount(options);
    try {
      await mount.#mount();
    } catch (error) {
      mount.#server.close();
      throw new StillpointError("target_failed", {
        what: `Cannot mount at ${options.folder}: ${describeError(error)}`,
        safe: "Recovery points are untouched.",
        cause: error,
      });
    }
    mount.#ended = mount.#server.serve();
    return mount;
  }

  private constructor(options: MountOptions) {
    this.#folder = options.folder;
    this.#server = new FileServer(options);
  }

  /** Unmounts: for everyone at once, those who still have a file open get errors from then on. */
  async unmount(): Promise<void> {
    await unmount(this.#folder);
    await this.#ended;
  }

  async #mount(): Promise<void> {
    // The kernel answers the mount itself, and asks for INIT when somebody reads; the descriptor goes to mount(8) as number 3.
    const program = spawn("mount", ["-i", "-t", "fuse", "-o", mountOptions(3), "stillpoint", this.#folder], {
      stdio: ["ignore", "ignore", "pipe", this.#server.fd],
    });
    let words = "";
    program.stderr?.on("data", (piece: Buffer) => (words += piece.toString()));
    const [status] = (await once(program, "close")) as [number | null];
    if (status !== 0) throw new Error(words.trim() || `mount ended with status ${String(status)}`);
  }
}

/** Unmounts a folder, whoever uses it; nothing happens when nothing is mounted there. */
export async function unmount(folder: string): Promise<void> {
  await run(["umount", "-f", "-l", folder], { timeout: 10_000 }).catch(() => undefined);
}
