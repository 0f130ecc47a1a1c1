/**
 * `npm start`: a first look at Stillpoint, with real input. Makes what config/quickstart.yaml needs, once, and runs the
 * daemon on it until Ctrl-C.
 *
 *   npm start -- [--folder FOLDER] [--listen ADDRESS:PORT]
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const project = path.join(import.meta.dirname, "..");
const stillpoint = path.join(project, "bin/stillpoint");
const shipped = path.join(project, "config/quickstart.yaml");
const usualFolder = path.join(project, ".quickstart");
const imageSize = 64 * 1024 * 1024;

const { folder, listen } = options();
main();

function main(): void {
  mkdirSync(folder, { recursive: true });
  const image = makeImage(path.join(folder, "disk.raw"));
  const config = chooseConfig(image);
  if (!existsSync(path.join(folder, "repository/format"))) {
    const { status, stderr } = spawnSync(stillpoint, ["init", "--config", config], { encoding: "utf8" });
    if (status !== 0) fail(`cannot make the demo repository in ${folder}:\n${stderr}`);
  }
  runDaemon(config);
}

function options(): { folder: string; listen: string | undefined } {
  try {
    const { values } = parseArgs({ options: { folder: { type: "string" }, listen: { type: "string" } } });
    const chosen = values.folder ?? process.env["STILLPOINT_QUICKSTART"] ?? usualFolder;
    return { folder: path.resolve(chosen), listen: values.listen };
  } catch (error) {
    return fail(`${(error as Error).message}\nUsage: npm start -- [--folder FOLDER] [--listen ADDRESS:PORT]`, 2);
  }
}

/** A raw ext4 image with this project's documentation and sources in it. Returns whether there is one. */
function makeImage(image: string): boolean {
  if (existsSync(image)) return true;
  const mkfs = ["/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4"].find((program) => existsSync(program));
  if (mkfs === undefined) {
    say("mkfs.ext4 isn't here (Debian package e2fsprogs), so the disk image is left out");
    return false;
  }
  const content = `${image}.content`;
  const partial = `${image}.partial`;
  for (const name of ["docs", "src"]) cpSync(path.join(project, name), path.join(content, name), { recursive: true });
  writeFileSync(partial, "");
  truncateSync(partial, imageSize);
  const { status, stderr } = spawnSync(mkfs, ["-q", "-F", "-d", content, partial], { encoding: "utf8" });
  rmSync(content, { recursive: true });
  if (status !== 0) {
    rmSync(partial);
    say(`mkfs.ext4 failed, so the disk image is left out: ${stderr.trim()}`);
    return false;
  }
  // Complete under its name, or not there.
  cpSync(partial, image);
  rmSync(partial);
  return true;
}

/** The shipped file as it is; or, where something has to be different, a copy of it in the demo's folder. */
function chooseConfig(image: boolean): string {
  if (image && folder === usualFolder && listen === undefined) return shipped;
  let text = readFileSync(shipped, "utf8")
    .replaceAll("../.quickstart", JSON.stringify(folder).slice(1, -1))
    .replace("path: ..\n", `path: ${JSON.stringify(project)}\n`);
  if (listen !== undefined) text = text.replace(/listen: .*/, `listen: ${JSON.stringify(listen)}`);
  if (!image) text = text.replace(/ {2}disk:\n.*\n/, "").replace(", disk]", "]");
  const copy = path.join(folder, "quickstart.yaml");
  writeFileSync(copy, text);
  return copy;
}

/** Ends as the daemon does. */
function runDaemon(config: string): void {
  // In a process group of its own: what a terminal, npm or `timeout` tells a whole group, more than once, the daemon is told once.
  const daemon = spawn(stillpoint, ["daemon", "--config", config], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  createInterface({ input: daemon.stdout }).on("line", (line) => show(line, config));
  let told = false;
  const end = (): void => {
    if (!told) daemon.kill("SIGTERM");
    told = true;
  };
  process.on("SIGINT", end).on("SIGTERM", end).on("SIGHUP", end);
  daemon.on("exit", (status) => {
    if (status === 5) say("to listen on another port: npm start -- --listen 127.0.0.1:9465");
    process.exitCode = status ?? 1;
  });
}

interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly message: string;
  readonly url?: string;
  readonly source?: string;
  readonly location?: string;
  readonly size?: number;
  readonly read?: number;
  readonly stored?: number;
  readonly leftOut?: number;
  readonly duration?: number;
  readonly points?: number;
  readonly bytesSent?: number;
  readonly error?: { readonly message: string };
  readonly errors?: readonly { readonly message: string }[];
}

function show(text: string, config: string): void {
  const line = JSON.parse(text) as LogLine;
  if (line.message === "started") introduce(config, line.url ?? "");
  const said = describe(line);
  if (said !== undefined) process.stdout.write(`${line.time.slice(11, 19)}  ${said}\n`);
  for (const { message } of [...(line.errors ?? []), ...(line.error ? [line.error] : [])]) {
    process.stdout.write(`          ${message}\n`);
  }
}

/** What a first look needs of the daemon's log. */
function describe(line: LogLine): string | undefined {
  const { level, message, source, location, size = 0, read = 0, stored = 0, leftOut = 0, duration = 0 } = line;
  const seconds = `${(duration / 1000).toFixed(1)} s`;
  switch (message) {
    case "capture finished": {
      const left = leftOut === 0 ? "" : `; ${leftOut} left out that this user can't read (stillpoint show names them)`;
      return `captured ${source}: ${mib(size)} protected, ${mib(read)} read, ${mib(stored)} stored, in ${seconds}${left}`;
    }
    case "replication finished":
      return `replicated to ${location}: ${line.points} points, ${mib(line.bytesSent ?? 0)} sent, in ${seconds}`;
    case "stopping":
    case "stopped":
      return message;
    case "job finished":
      return undefined;
  }
  return level === "warn" || level === "error"
    ? `${message}${(source ?? location) ? ` (${source ?? location})` : ""}`
    : undefined;
}

function introduce(config: string, url: string): void {
  const [command, file, home] = [stillpoint, config, folder].map(fromHere) as [string, string, string];
  const tries: readonly (readonly [string, string])[] = [
    [`${command} list`, "what there is"],
    [`${command} restore latest --source etc --to /tmp/etc-again`, "get it back"],
    [`mv ${home}/replica ${home}/gone`, "lose the second copy, and watch its age grow:"],
    [`${command} status --watch`, "mv it back, and it catches up"],
  ];
  const width = Math.max(...tries.map(([line]) => line.length));
  const sources = [...readFileSync(config, "utf8").matchAll(/^ {2}(etc|project|disk):$/gm)].map(
    ([, name]) => name ?? "",
  );
  const what: Readonly<Record<string, string>> = {
    etc: "this machine's /etc",
    project: "this project's source tree",
    disk: "a raw ext4 image with this project's files",
  };
  process.stdout.write(`
Stillpoint protects, every minute:
${sources.map((name) => `  ${name.padEnd(8)} ${what[name]}`).join("\n")}
in ${home}/repository, with a complete second copy in ${home}/replica.

  Page     ${url}/
  Metrics  ${url}/metrics
  Health   ${url}/healthz and ${url}/readyz

Try, in another terminal:
  export STILLPOINT_CONFIG=${file}
${tries.map(([line, why]) => `  ${line.padEnd(width)}  # ${why}`).join("\n")}

Ctrl-C ends it. The next start goes on with the same recovery points; ${home} can be deleted at any time.

`);
}

/** As someone in the working folder would write it. */
function fromHere(place: string): string {
  const relative = path.relative(process.cwd(), place);
  return relative.startsWith("..") ? place : relative;
}

function mib(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

function say(text: string): void {
  process.stderr.write(`stillpoint: ${text}\n`);
}

function fail(text: string, status = 1): never {
  say(text);
  process.exit(status);
}
