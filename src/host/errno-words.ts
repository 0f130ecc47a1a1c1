/** What the system's error numbers mean, in words that complete "Cannot …: ". */
import { describeError } from "../errors.ts";
import { errnoOf } from "./files.ts";

export const errnoWords: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOENT: "there is no such file",
  ENOTDIR: "something in its path isn't a folder",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links lead nowhere",
  ENOSPC: "the file system has no space left",
  EDQUOT: "the quota is used up",
  EFBIG: "the file system can't hold a file of that length",
  EROFS: "the file system is read-only",
  EIO: "the medium has an error there",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  ETIMEDOUT: "there was no answer in time",
  EHOSTUNREACH: "no way leads to that host",
  ENETUNREACH: "no way leads to that network",
  ENOTFOUND: "nobody knows that name",
  EAI_AGAIN: "the name server doesn't answer",
};

/** The words and, to look it up, the name: `the file system has no space left (ENOSPC)`. */
export function describeErrno(errno: string): string {
  const words = Object.hasOwn(errnoWords, errno) ? errnoWords[errno] : undefined;
  return words === undefined ? errno : `${words} (${errno})`;
}

/** Why something failed, in words where they are known. */
export function reasonOf(error: unknown): string {
  return errnoWords[errnoOf(error) ?? ""] ?? describeError(error);
}
