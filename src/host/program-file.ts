/** Files of the program that aren't modules of its own, such as what it serves to browsers. */
import { getAsset, isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { nodeFiles } from "./node-files.ts";

/** The file `name`, a path in the folder `root`; in the self-contained executable, the asset of that name. */
export async function readProgramFile(root: URL, name: string): Promise<string> {
  if (isSea()) return getAsset(name, "utf8");
  return (await nodeFiles.read(fileURLToPath(new URL(name, root)))).toString();
}
