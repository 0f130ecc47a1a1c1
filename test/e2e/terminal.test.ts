/** The command line on a real terminal: a pty of script(1). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { eventually, RunningDaemon } from "../helpers/running-daemon.ts";
import { makeSite } from "../helpers/site.ts";

const launcher = join(import.meta.dirname, "../../bin/stillpoint");

/** A shell command on a terminal of its own. `typed` is sent as soon as the output matches. */
async function onTerminal(command: string, typed: { readonly after: RegExp; readonly keys: string }): Promise<string> {
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, TERM: "xterm" },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (output += piece));
  const ended = once(child, "close");
  await eventually(() => (typed.after.test(output) ? true : undefined));
  child.stdin.write(typed.keys);
  await ended;
  child.stdin.destroy();
  return output;
}

it.each([
  ["q", "q"],
  ["Ctrl-C", "\u0003"],
])("status --watch shows what a daemon does, until %s, and leaves the terminal as it was", async (_, keys) => {
  const site = await makeSite();
  const daemon = new RunningDaemon(site.configFile);
  await daemon.started();
  const watch = `${launcher} status --watch --config ${site.configFile}`;
  const command = `stty columns 100 rows 30; stty --save; ${watch}; echo "ended: $?"; stty --save`;
  // Two frames: it lives.
  const output = await onTerminal(command, { after: /NEVER CAPTURED[^]*NEVER CAPTURED/, keys });
  const settings = [...output.matchAll(/^[0-9a-f]+(?::[0-9a-f]+){10,}/gm)].map(([line]) => line);
  expect(settings).toHaveLength(2);
  expect(settings[1]).toBe(settings[0]);
  expect(output).toContain("ended: 0");
  expect(output).toContain("Next runs");
  // The screen of its own is left before anything else is printed.
  expect(output.indexOf("\u001B[?25h\u001B[?1049l")).toBeGreaterThan(output.lastIndexOf("NEVER CAPTURED"));
  expect(output.indexOf("ended: 0")).toBeGreaterThan(output.indexOf("\u001B[?25h\u001B[?1049l"));
});
