/**
 * A folder of files whose content comes from elsewhere when it is read: a FUSE file system of our own. QEMU maps such a
 * file privately as a guest's memory, so that a guest runs before its memory has been read.
 *
 * The process that serves it must outlive everyone who has mapped a file: without it they die by SIGBUS. It must not
 * itself touch the folder with anything that waits.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { constants } from "node:os";
import { promisify } from "node:util";
import { describeError, StillpointError } from "../../errors.ts";
import { run } from "../../host/process.ts";
import {
  type Attributes,
  attributesReply,
  entryReply,
  type FuseRequest,
  initReply,
  longestMessage,
  lookupName,
  opcodes,
  openReply,
  parseRequest,
  readRange,
  replyHeader,
  rootNode,
  statfsReply,
} from "./fuse-messages.ts";

const { EIO, ENOENT, ENOSYS, EOPNOTSUPP, EROFS } = constants.errno;

/** A file of the folder. */
export interface MountedFile {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** `length` bytes from `offset` on, within the size; undefined when all are zeros. */
  read(offset: number, length: number): Promise<Uint8Array | undefined>;
}

export interface MountOptions {
  /** An empty folder. */
  readonly folder: string;
  readonly files: readonly MountedFile[];
  /** Told why a read failed: whoever made it only sees an error of input and output. */
  readonly onFailure: (message: string) => void;
}

/** Whether this process may mount at all. */
export function mayMount(): boolean {
  try {
    fs.accessSync("/dev/fuse", fs.constants.R_OK | fs.constants.W_OK);
    return process.geteuid?.() === 0;
  } catch {
    return false;
  }
}

const readDevice = promisify(fs.read);

export class MemoryMount {
  readonly #options: MountOptions;
  readonly #fd: number;
  #ended: Promise<void> = Promise.resolve();

  /** Mounts. Throws `target_failed`. */
  static async mount(options: MountOptions): Promise<MemoryMount> {
    const mount = new MemoryMount(options);
    try {
      await mount.#mount();
    } catch (error) {
      fs.closeSync(mount.#fd);
      throw new StillpointError("target_failed", {
        what: `Cannot mount at ${options.folder}: ${describeError(error)}`,
        safe: "Recovery points are untouched.",
        cause: error,
      });
    }
    mount.#ended = mount.#serve();
    return mount;
  }

  private constructor(options: MountOptions) {
    this.#options = options;
    this.#fd = fs.openSync("/dev/fuse", "r+");
  }

  /** Unmounts: for everyone at once, those who still have a file open get errors from then on. */
  async unmount(): Promise<void> {
    await unmount(this.#options.folder);
    await this.#ended;
  }

  async #mount(): Promise<void> {
    const { folder } = this.#options;
    // The kernel answers the mount itself, and asks for INIT when somebody reads; the descriptor goes to mount(8) as number 3.
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0,default_permissions,nosuid,nodev,noexec";
    const program = spawn("mount", ["-i", "-t", "fuse", "-o", options, "stillpoint", folder], {
      stdio: ["ignore", "ignore", "pipe", this.#fd],
    });
    let words = "";
    program.stderr?.on("data", (piece: Buffer) => (words += piece.toString()));
    const [status] = (await once(program, "close")) as [number | null];
    if (status !== 0) throw new Error(words.trim() || `mount ended with status ${String(status)}`);
  }

  /** Until it is unmounted. */
  async #serve(): Promise<void> {
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(longestMessage);
      let length: number;
      try {
        length = (await readDevice(this.#fd, buffer, 0, buffer.length, null)).bytesRead;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? "";
        // A request that was taken back while it was read.
        if (code === "ENOENT" || code === "EINTR" || code === "EAGAIN") continue;
        // ENODEV: unmounted.
        fs.closeSync(this.#fd);
        return;
      }
      void this.#answer(parseRequest(buffer.subarray(0, length)));
    }
  }

  async #answer(request: FuseRequest): Promise<void> {
    const { opcode, unique } = request;
    if (opcode === opcodes.forget || opcode === opcodes.batchForget || opcode === opcodes.interrupt) return;
    try {
      const reply = opcode === opcodes.read ? await this.#read(request) : this.#answerAtOnce(request);
      if (typeof reply === "number") this.#send(replyHeader(unique, reply, 0));
      else this.#send(replyHeader(unique, 0, reply.length), reply);
    } catch (error) {
      this.#options.onFailure(describeError(error));
      this.#send(replyHeader(unique, EIO, 0));
    }
  }

  /** A reply, or the number of an error; 0 for a success that has nothing to say. */
  #answerAtOnce({ opcode, node, body }: FuseRequest): Buffer | number {
    const file = this.#options.files[Number(node - rootNode) - 1];
    switch (opcode) {
      case opcodes.init:
        return initReply(body);
      case opcodes.lookup:
        return this.#lookup(lookupName(body));
      case opcodes.getattr:
        return node === rootNode || file !== undefined ? attributesReply(this.#attributes(node, file)) : ENOENT;
      case opcodes.open:
        return file === undefined ? ENOENT : openReply();
      case opcodes.statfs:
        return statfsReply();
      case opcodes.flush:
      case opcodes.release:
      case opcodes.destroy:
        return 0;
      case opcodes.write:
      case opcodes.setattr:
        return EROFS;
      case opcodes.fallocate:
        return EOPNOTSUPP;
      default:
        return ENOSYS;
    }
  }

  #lookup(name: string): Buffer | number {
    const index = this.#options.files.findIndex((file) => file.name === name);
    if (index < 0) return ENOENT;
    return entryReply(this.#attributes(rootNode + BigInt(index + 1), this.#options.files[index]));
  }

  #attributes(node: bigint, file: MountedFile | undefined): Attributes {
    return { node, size: file?.size, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  }

  async #read({ node, body }: FuseRequest): Promise<Buffer | number> {
    const file = this.#options.files[Number(node - rootNode) - 1];
    if (file === undefined) return ENOENT;
    const { offset, length } = readRange(body);
    const size = Math.max(0, Math.min(length, file.size - offset));
    if (size === 0) return Buffer.alloc(0);
    const bytes = await file.read(offset, size);
    return bytes === undefined ? Buffer.alloc(size) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A reply is one write. It can't wait: the kernel copies it, or says that nobody wants it any more. */
  #send(...pieces: Buffer[]): void {
    try {
      fs.writevSync(this.#fd, pieces);
    } catch {
      // Whoever asked is gone, or the folder is unmounted.
    }
  }
}

/** Unmounts a folder, whoever uses it; nothing happens when nothing is mounted there. */
export async function unmount(folder: string): Promise<void> {
  await run(["umount", "-f", "-l", folder], { timeout: 10_000 }).catch(() => undefined);
}
