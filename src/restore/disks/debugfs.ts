/** debugfs(8) of e2fsprogs, told by number of inodes what to print: no name ever becomes part of a command. */
import { StillpointError } from "../../errors.ts";
import { randomBytes } from "../../host/random.ts";
import type { DiskBytes } from "./disk-bytes.ts";
import { commandFile, diskFile, otherWay, runOnDisk } from "./disk-tool.ts";

export interface Answers {
  /** What was printed for each command, in their order. */
  readonly answers: readonly Buffer[];
  /** What debugfs complained of, if it did. */
  readonly complaint: string | undefined;
}

export interface DebugfsOptions {
  readonly signal?: AbortSignal | undefined;
}

/** For one call, in ms: the disk may be far away. */
const timeout = 10 * 60_000;
/** For one file, in ms. */
const longestCat = 24 * 3_600_000;

/**
 * Runs commands one after the other. Each is preceded by a comment, which debugfs repeats; names on the disk could hold anything
 * that looks like one, but not a number that nobody could know.
 *
 * Throws `disk_unreadable`, what reading the disk throws, or `cancelled`.
 */
export async function askDebugfs(
  disk: DiskBytes,
  commands: readonly string[],
  { signal }: DebugfsOptions = {},
): Promise<Answers> {
  if (commands.length === 0) return { answers: [], complaint: undefined };
  const nonce = randomBytes(16).toString("hex");
  const mark = (number: number): string => `# ${nonce} ${number}\n`;
  const text = commands.map((command, number) => `${mark(number)}${command}\n`).join("") + mark(commands.length);
  // Without the bitmaps, which nothing here needs, and which are all over the disk.
  const argv = ["debugfs", "-c", "-f", commandFile, diskFile];
  const output = runOnDisk(disk, { argv, commands: text, collect: true, timeout, signal });
  const pieces: Buffer[] = [];
  let step = await output.next();
  for (; !step.done; step = await output.next()) pieces.push(step.value);
  const complaint = complaintOf(step.value);
  const printed = Buffer.concat(pieces);
  const answers: Buffer[] = [];
  let at = printed.indexOf(mark(0));
  for (const [number, command] of commands.entries()) {
    const echo = `${mark(number)}debugfs: ${command}\n`;
    const next = at < 0 ? -1 : printed.indexOf(mark(number + 1), at);
    if (next < 0) throw unreadable(complaint ?? "debugfs didn't answer everything");
    answers.push(printed.subarray(at + echo.length, next));
    at = next;
  }
  if (complaint !== undefined && /not open|while (trying to )?open/i.test(complaint)) throw unreadable(complaint);
  return { answers, complaint };
}

/** The content of a file, as far as debugfs can read it. Throws as `askDebugfs` does, also when it complained. */
export async function* catInode(
  disk: DiskBytes,
  inode: string,
  { signal }: DebugfsOptions = {},
): AsyncGenerator<Buffer> {
  const argv = ["debugfs", "-c", "-R", `cat <${inode}>`, diskFile];
  const words = yield* runOnDisk(disk, { argv, timeout: longestCat, signal });
  const complaint = complaintOf(words);
  if (complaint !== undefined) throw unreadable(complaint);
}

/** The first line says which version it is. */
function complaintOf(words: string): string | undefined {
  const lines = words.split("\n").filter((line) => line.trim() !== "" && !/^debugfs \d/.test(line));
  return lines.length === 0 ? undefined : lines.slice(0, 3).join(" / ");
}

function unreadable(why: string): StillpointError {
  return new StillpointError("disk_unreadable", {
    what: `Cannot look into the file system: ${why.replace(/\.$/, "")}`,
    safe: "The disk as a whole can still be read, restored and served.",
    next: otherWay,
  });
}
