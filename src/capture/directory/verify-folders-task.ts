/** Looks at folders a second time, in a worker thread: which of them changed since they were captured? */
import type { Task } from "../../repository/threads/executor.ts";
import { compileExcludes, type Filter } from "./exclude.ts";
import { fingerprint, type FolderPlace, listFolder } from "./list-folder.ts";
import { failureOf } from "./failure.ts";

export interface VerifyInput {
  readonly exclude: readonly string[];
  readonly folders: readonly (FolderPlace & { readonly fingerprint: string })[];
}

/** The positions of the folders that changed. */
export const verifyFolders: Task<VerifyInput, readonly number[]> = {
  name: "verify-folders",
  async run(_context, { exclude, folders }) {
    const filter = compileExcludes(exclude);
    const changed = folders.flatMap((folder, position) =>
      look(folder, filter) === folder.fingerprint ? [] : [position],
    );
    return await Promise.resolve(changed);
  },
};

function look(folder: FolderPlace, filter: Filter): string {
  try {
    return fingerprint(listFolder(folder, filter));
  } catch (error) {
    return failureOf(error);
  }
}
