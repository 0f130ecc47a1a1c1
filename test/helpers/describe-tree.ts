import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { getXattr, listXattrs, syscallsAvailable } from "../../src/host/syscalls.ts";

/** Everything below a folder, and the folder itself, with all that a restore brings back: a line each, in order of paths. */
export function describeTree(path: string): string[] {
  const links = new Map<string, string>();
  return describe(Buffer.from(path), ".", links);
}

function describe(path: Buffer, shown: string, links: Map<string, string>): string[] {
  const stats = fs.lstatSync(path, { bigint: true });
  const line = [shown, stats.mode.toString(8), stats.uid, stats.gid, stats.mtimeNs, attributesOf(path)];
  if (!stats.isDirectory()) {
    const same = `${stats.dev}:${stats.ino}`;
    line.push(`links=${stats.nlink} as ${links.get(same) ?? "the first"}`);
    if (!links.has(same)) links.set(same, shown);
  }
  if (stats.isSymbolicLink()) line.push(fs.readlinkSync(path, { encoding: "buffer" }).toString("latin1"));
  if (stats.isCharacterDevice() || stats.isBlockDevice()) line.push(`device=${stats.rdev}`);
  if (stats.isFile()) line.push(`${stats.size} ${createHash("sha256").update(fs.readFileSync(path)).digest("hex")}`);
  if (!stats.isDirectory()) return [line.join(" ")];
  const names = fs.readdirSync(path, { encoding: "buffer" }).sort((a, b) => a.compare(b));
  return [
    line.join(" "),
    ...names.flatMap((name) =>
      describe(Buffer.concat([path, Buffer.from("/"), name]), `${shown}/${name.toString("latin1")}`, links),
    ),
  ];
}

function attributesOf(path: Buffer): string {
  if (!syscallsAvailable()) return "";
  const names = listXattrs(path).sort((a, b) => a.compare(b));
  return names.map((name) => `${name.toString()}=${getXattr(path, name).toString("hex")}`).join(",");
}
