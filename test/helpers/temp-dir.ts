import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { onTestFinished } from "vitest";

/** A folder of its own for the running test, removed when the test has ended. */
export async function tempDir(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "stillpoint-test-"));
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }));
  return folder;
}
