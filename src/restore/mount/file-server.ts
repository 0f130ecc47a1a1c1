/**
 * Files whose content comes from elsewhere when it is read: the server of a FUSE file system of our own.
 *
 * This process must not itself touch such a file with anything that waits, nor have one open: the kernel asks it when a file is
 * closed too, and starting a program closes files.
 */
import * as fs from "node:fs";
import { constants } from "node:os";
import { promisify } from "node:util";
import { describeError } from "../../errors.ts";
import { systemClock } from "../../host/clock.ts";
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
  writeReply,
  writtenBytes,
} from "./fuse-messages.ts";

const { EIO, ENOENT, ENOSPC, ENOSYS, EOPNOTSUPP, EROFS } = constants.errno;

/** A file of the folder. */
export interface MountedFile {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** `length` bytes from `offset` on, within the size; undefined when all are zeros. */
  read(offset: number, length: number): Promise<Uint8Array | undefined>;
  /** Takes bytes, within the size, not to be kept as they are; left out, the file can't be written to. */
  write?(offset: number, bytes: Buffer): void;
}

export interface ServedFiles {
  readonly files: readonly MountedFile[];
  /** Told why a read failed: whoever made it only sees an error of input and output. */
  readonly onFailure: (message: string) => void;
  /** The only user who may look at them; by default root, who mounts them. */
  readonly owner?: Owner;
}

/** Numbers of a user and a group. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const root: Owner = { uid: 0, gid: 0 };

/** Whether this process may mount at all. */
export function mayMount(): boolean {
  try {
    fs.accessSync("/dev/fuse", fs.constants.R_OK | fs.constants.W_OK);
    return process.geteuid?.() === 0;
  } catch {
    return false;
  }
}

/** Options of mount(8) for a file system whose /dev/fuse it has open as this number. */
export function mountOptions(descriptor: number, { uid, gid }: Owner = root): string {
  return `fd=${descriptor},rootmode=40000,user_id=${uid},group_id=${gid},default_permissions,nosuid,nodev,noexec`;
}

const readDevice = promisify(fs.read);

/** Between looks whether it is mounted at last, in ms. */
const untilMounted = 2;

export class FileServer {
  /** /dev/fuse, open: whoever mounts needs it. */
  readonly fd: number;
  readonly #files: readonly MountedFile[];
  readonly #onFailure: (message: string) => void;
  readonly #owner: Owner;
  #isClosed = false;

  constructor({ files, onFailure, owner = root }: ServedFiles) {
    this.#owner = owner;
    this.#files = files;
    this.#onFailure = onFailure;
    this.fd = fs.openSync("/dev/fuse", "r+");
  }

  /** Only for one that doesn't serve. */
  close(): void {
    this.#isClosed = true;
    fs.closeSync(this.fd);
  }

  /** Answers until it is unmounted, or `signal` aborts before it was ever mounted. */
  async serve(signal?: AbortSignal): Promise<void> {
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(longestMessage);
      let length: number;
      try {
        length = (await readDevice(this.fd, buffer, 0, buffer.length, null)).bytesRead;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? "";
        // A request that was taken back while it was read.
        if (code === "ENOENT" || code === "EINTR" || code === "EAGAIN") continue;
        if (code === "EPERM" && signal?.aborted === false) {
          // Not mounted yet.
          await systemClock.sleep(untilMounted);
          continue;
        }
        // ENODEV: unmounted.
        this.close();
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
      this.#onFailure(describeError(error));
      this.#send(replyHeader(unique, EIO, 0));
    }
  }

  /** A reply, or the number of an error; 0 for a success that has nothing to say. */
  #answerAtOnce({ opcode, node, body }: FuseRequest): Buffer | number {
    const file = this.#files[Number(node - rootNode) - 1];
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
        return file?.write === undefined ? EROFS : this.#write(file, body);
      case opcodes.setattr:
        return EROFS;
      case opcodes.fallocate:
        return EOPNOTSUPP;
      default:
        return ENOSYS;
    }
  }

  #lookup(name: string): Buffer | number {
    const index = this.#files.findIndex((file) => file.name === name);
    if (index < 0) return ENOENT;
    return entryReply(this.#attributes(rootNode + BigInt(index + 1), this.#files[index]));
  }

  #attributes(node: bigint, file: MountedFile | undefined): Attributes {
    return { node, size: file?.size, ...this.#owner };
  }

  async #read({ node, body }: FuseRequest): Promise<Buffer | number> {
    const file = this.#files[Number(node - rootNode) - 1];
    if (file === undefined) return ENOENT;
    const { offset, length } = readRange(body);
    const size = Math.max(0, Math.min(length, file.size - offset));
    if (size === 0) return Buffer.alloc(0);
    const bytes = await file.read(offset, size);
    return bytes === undefined ? Buffer.alloc(size) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #write(file: MountedFile, body: Buffer): Buffer | number {
    const { offset, bytes } = writtenBytes(body);
    if (file.write === undefined || offset + bytes.length > file.size) return ENOSPC;
    file.write(offset, bytes);
    return writeReply(bytes.length);
  }

  /** A reply is one write. It can't wait: the kernel copies it, or says that nobody wants it any more. */
  #send(...pieces: Buffer[]): void {
    // By then the number may be another file's.
    if (this.#isClosed) return;
    try {
      fs.writevSync(this.fd, pieces);
    } catch {
      // Whoever asked is gone, or the folder is unmounted.
    }
  }
}
