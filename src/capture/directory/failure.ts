/** What the system says of something that can't be captured. */
import { errnoOf } from "../../host/files.ts";

/** The errno's name; what isn't an error of the system is thrown on. */
export function failureOf(error: unknown): string {
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  return errno;
}

/** Whether it was taken away, or something else put in its place, after it was listed. */
export function isGone(failure: string): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP", "ESTALE", "EISDIR", "ENXIO"].includes(failure);
}
