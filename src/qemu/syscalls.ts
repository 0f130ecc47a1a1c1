/** System calls of Linux that Node has no function for, as far as other people's QEMU needs them (see src/host/syscalls.ts). */

import { lastError, openLibc } from "../host/libc.ts";

/** Who made the listening socket at `path` listen: the peer's credentials of unix(7). Undefined when it can't be asked now. */
export function listenerOf(path: string): number | undefined {
  const name = Buffer.from(path);
  if (name.length >= unixPathMax) return undefined;
  const address = Buffer.alloc(2 + unixPathMax);
  address.writeUInt16LE(familyUnix, 0);
  name.copy(address, 2);
  const { socket, connect, getsockopt, close } = libc();
  // Never waits: a socket whose queue is full says so.
  const fd = check(socket(familyUnix, streamNonblockCloexec, 0), "socket");
  try {
    if (connect(fd, address, address.length) < 0) return undefined;
    const credentials = Buffer.alloc(12);
    const length = Buffer.from(Uint32Array.of(credentials.length).buffer);
    check(getsockopt(fd, levelSocket, peerCredentials, credentials, length), "getsockopt");
    return credentials.readInt32LE(0);
  } finally {
    close(fd);
  }
}

/** A descriptor for the process, which stays that process's. Throws `ESRCH` when there is none. */
export function openProcess(pid: number): number {
  return check(Number(libc().syscall(pidfdOpen, BigInt(pid), 0n, 0n)), "pidfd_open");
}

/** A copy of a descriptor of another process: the same open file. Throws `EPERM` without the right to trace it. */
export function copyDescriptor(process: number, fd: number): number {
  return check(Number(libc().syscall(pidfdGetfd, BigInt(process), BigInt(fd), 0n)), "pidfd_getfd");
}

/** ioctl(2) with a structure, which it may change. */
export function control(fd: number, request: bigint, structure: Buffer): void {
  check(libc().ioctl(fd, request, structure), "ioctl");
}

/**
 * Joins small pages of the process's memory into huge ones: madvise(2), MADV_COLLAPSE. Throws `EPERM` without the right to, `ENOMEM`
 * when there are no huge pages, `EAGAIN` or `EINVAL` when some of the range can't be joined (now); the rest of it is.
 */
export function collapseMemory(process: number, start: number, length: number): void {
  const range = Buffer.from(BigUint64Array.of(BigInt(start), BigInt(length)).buffer);
  check(Number(madvise()(processMadvise, BigInt(process), range, 1n, collapse, 0n)), "process_madvise");
}

// Numbers of Linux, the same on all architectures that Node runs on: include/linux/socket.h, include/uapi/asm-generic/socket.h,
// include/uapi/asm-generic/unistd.h (these two are newer than the numbers' being common to all).
const familyUnix = 1;
const streamNonblockCloexec = 1 | 0o4000 | 0o2000000;
const unixPathMax = 108;
const levelSocket = 1;
const peerCredentials = 17;
const pidfdOpen = 434n;
const pidfdGetfd = 438n;
const processMadvise = 440n;
const collapse = 25n;

function load() {
  const definitions = {
    socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
    connect: { arguments: ["i32", "buffer", "u32"], return: "i32" },
    getsockopt: { arguments: ["i32", "i32", "i32", "buffer", "buffer"], return: "i32" },
    close: { arguments: ["i32"], return: "i32" },
    ioctl: { arguments: ["i32", "u64", "buffer"], return: "i32" },
    syscall: { arguments: ["i64", "i64", "i64", "i64"], return: "i64" },
  } as const;
  return openLibc(definitions, "look after virtual machines");
}

let loaded: ReturnType<typeof load> | undefined;

function libc(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

/** `syscall` with other arguments: not every glibc has process_madvise itself. */
function loadMadvise() {
  const definition = { arguments: ["i64", "i64", "buffer", "i64", "i64", "i64"], return: "i64" } as const;
  return openLibc({ syscall: definition }, "look after virtual machines").syscall;
}

let loadedMadvise: ReturnType<typeof loadMadvise> | undefined;

function madvise(): ReturnType<typeof loadMadvise> {
  loadedMadvise ??= loadMadvise();
  return loadedMadvise;
}

function check(result: number, syscall: string): number {
  if (result < 0) throw lastError(syscall);
  return result;
}
