/**
 * What a service tells the service manager that started it, by the protocol of sd_notify(3): a datagram of `NAME=value` lines to
 * the unix socket that `NOTIFY_SOCKET` names. Node has no datagrams on unix sockets, so libc is called.
 */
import { StillpointError } from "../errors.ts";
import { lastError, openLibc } from "./libc.ts";

export interface ServiceManager {
  /** In ms: it ends a service from which it hasn't heard `WATCHDOG=1` for this long. Undefined when it doesn't care. */
  readonly watchdog: number | undefined;
  /**
   * Tells it `READY=1`, `STATUS=…` and so on, all at once.
   *
   * Throws an error with `code`, as those of node:fs, when it can't be told; `internal` when this Node can't.
   */
  notify(...assignments: readonly string[]): void;
}

/**
 * Whoever started this process and wants to hear of it; undefined when nobody does. Takes its variables out of `environment`:
 * they are meant for this process, and not for the programs that it starts.
 */
export function takeServiceManager(environment: NodeJS.ProcessEnv, pid: number): ServiceManager | undefined {
  const { NOTIFY_SOCKET: address, WATCHDOG_USEC: interval, WATCHDOG_PID: watched } = environment;
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
  if (address === undefined || address === "") return undefined;
  const watchdog = Number(interval) / 1000;
  const mine = watchdog > 0 && (watched === undefined || Number(watched) === pid);
  return {
    watchdog: mine ? watchdog : undefined,
    notify: (...assignments) => send(addressOf(address), Buffer.from(assignments.join("\n"))),
  };
}

/** Time as the service manager counts it, for `MONOTONIC_USEC=`. In µs. */
export function monotonicMicroseconds(): bigint {
  return process.hrtime.bigint() / 1000n;
}

// Numbers of Linux, little-endian as the architectures that Node runs on: include/linux/socket.h, include/uapi/asm-generic/fcntl.h.
const unixFamily = 1;
const datagram = 2;
const closeOnExec = 0x80000;
const noSignal = 0x4000;

/** A `struct sockaddr_un`, as long as it has to be: unix(7). A leading `@` stands for a name that isn't in the file system. */
function addressOf(text: string): Buffer {
  const name = Buffer.from(text.startsWith("@") ? `\0${text.slice(1)}` : `${text}\0`);
  if (!/^[/@]./.test(text) || name.length > 108) {
    throw new StillpointError("usage", {
      what: `Cannot tell the service manager anything: NOTIFY_SOCKET is ${text}, and not the path of a unix socket`,
      next: "See that it is set by systemd, or not at all.",
    });
  }
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(unixFamily);
  name.copy(address, 2);
  return address;
}

function send(address: Buffer, message: Buffer): void {
  const { socket, sendto, close } = openLibc(
    {
      socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
      sendto: { arguments: ["i32", "buffer", "u64", "i32", "buffer", "u32"], return: "i64" },
      close: { arguments: ["i32"], return: "i32" },
    },
    "tell the service manager anything",
  );
  const fd = socket(unixFamily, datagram | closeOnExec, 0);
  if (fd < 0) throw lastError("socket");
  try {
    if (sendto(fd, message, BigInt(message.length), noSignal, address, address.length) < 0n) throw lastError("sendto");
  } finally {
    close(fd);
  }
}
