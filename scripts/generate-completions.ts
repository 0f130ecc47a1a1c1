/**
 * Writes the completions for bash, zsh and fish into the folders FOLDER/bash, FOLDER/zsh and FOLDER/fish, by the names that these shells
 * look for: node scripts/generate-completions.ts FOLDER
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCommandLine } from "./manual/command-line.ts";
import { completionFiles, completionFor, type Shell } from "./manual/completions.ts";

const [, , folder] = process.argv;
if (folder === undefined) throw new Error("give the folder to write to");
const specs = await readCommandLine();
for (const shell of Object.keys(completionFiles) as Shell[]) {
  await mkdir(join(folder, shell), { recursive: true });
  await writeFile(join(folder, shell, completionFiles[shell]), completionFor(shell, specs));
}
