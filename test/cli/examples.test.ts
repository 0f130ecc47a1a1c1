/** What `--help` shows as examples is what the command line takes. */
import { expect, test } from "vitest";
import { readCommandLine } from "../../scripts/manual/command-line.ts";
import { parsed, wordsOf } from "./parse-command.ts";

test("every example is understood, and every verb without verbs of its own has one", async () => {
  for (const { path, usage, examples } of (await readCommandLine()).slice(1)) {
    const verbs = new Set(usage.includes("[command]") ? [path.join(" ")] : []);
    for (const line of examples) {
      const words = wordsOf(line);
      if (words === undefined) continue;
      const ran = await parsed(words).catch((error: unknown) => `${line}: ${String(error)}`);
      expect(ran).not.toMatch(/Error|^$/);
      verbs.add(ran);
    }
    // The examples of one verb may use others on the way.
    expect(verbs).toContain(path.join(" "));
  }
});

test("what isn't understood is noticed", async () => {
  await expect(parsed(["list", "--frobnicate"])).rejects.toThrow("unknown option");
  await expect(parsed(["config", "diff", "a", "b"])).rejects.toThrow("too many arguments");
});
