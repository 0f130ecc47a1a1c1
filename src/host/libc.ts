/** The libc that Node itself is linked to, by Node's foreign function interface (https://nodejs.org/api/ffi.html). */
import type { FunctionDefinitions } from "node:ffi";
import * as os from "node:os";
import { StillpointError } from "../errors.ts";

/** Where errno is: one place per thread, and this module is loaded once per thread. */
let errnoPlace: bigint | undefined;

/**
 * Functions of libc, by name. `purpose` completes "Cannot …", for a Node that can't call them.
 *
 * @throws StillpointError `internal` there
 */
export function openLibc<const T extends FunctionDefinitions>(definitions: T, purpose: string) {
  const ffi = process.getBuiltinModule("node:ffi");
  if (!ffi) {
    throw new StillpointError("internal", {
      what: `Cannot ${purpose} with Node ${process.versions.node}`,
      next: "Run Stillpoint with Node 26, as its launcher does.",
    });
  }
  // Found now: to look for it after a call has failed could change it.
  const locate = { __errno_location: { arguments: [], return: "pointer" } } as const;
  errnoPlace ??= ffi.dlopen(null, locate).functions.__errno_location();
  return ffi.dlopen(null, definitions).functions;
}

/** The error of the call of libc that has just failed on this thread, like those of node:fs. */
export function lastError(syscall: string, path?: Buffer): NodeJS.ErrnoException {
  const ffi = process.getBuiltinModule("node:ffi");
  const errno = errnoPlace === undefined ? 0 : (ffi?.getInt32(errnoPlace) ?? 0);
  const name = Object.entries(os.constants.errno).find(([, number]) => number === errno)?.[0];
  return systemError(name ?? `errno ${String(errno)}`, errno, syscall, path);
}

export function systemError(code: string, errno: number, syscall: string, path?: Buffer): NodeJS.ErrnoException {
  const where = path ? ` '${path.toString()}'` : "";
  return Object.assign(new Error(`${code}: ${syscall}${where}`), { code, errno: -errno, syscall });
}
