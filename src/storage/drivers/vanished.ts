import { StillpointError } from "../../errors.ts";

interface Place {
  readonly location: string;
  readonly root: string;
}

/**
 * For a storage whose folder isn't what it was. `tmp` is named when it alone is missing: only of a folder that holds something may
 * it be said what to make in it, as others are mount points.
 */
export function vanished({ location, root }: Place, what: string, tmp?: string): StillpointError {
  const copied = tmp === undefined ? "" : `; for a copy that lost its empty folders, make ${tmp}`;
  return new StillpointError("storage_unreachable", {
    what: `Cannot use the storage ${location}: ${what}`,
    safe: "Nothing was made anew in its place.",
    next: `See that ${root} is the right folder and that its disk is mounted${copied}.`,
  });
}
