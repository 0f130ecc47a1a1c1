import { expect, it } from "vitest";
import { formatDiskPath, parseDiskPath } from "../../../src/restore/disks/disk-path.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";

function pointWith(...names: readonly string[]): RecoveryPoint {
  const parts = names.map((name) => ({ name, kind: name.startsWith("state") ? "stream" : "image" }));
  return { manifest: { parts } } as unknown as RecoveryPoint;
}

const point = pointWith("disk/root", "disk/root:1", "disk/a:b", "state/head");

it.each([
  ["disk/a:b:2/etc/passwd", "disk/a:b", 2, ["etc", "passwd"], true],
  ["disk/a:b:/etc", "disk/a:b", undefined, ["etc"], true],
  ["disk/a:b:/", "disk/a:b", undefined, [], true],
  ["disk/a:b:", "disk/a:b", undefined, [], false],
  ["disk/a:b:12", "disk/a:b", 12, [], false],
  ["disk/a:b:1/with:colon\n", "disk/a:b", 1, ["with:colon\n"], true],
  // A disk whose name is another's and a number is the longer one.
  ["disk/root:1:/x", "disk/root:1", undefined, ["x"], true],
  ["disk/root:2/x", "disk/root", 2, ["x"], true],
])("%j", (path, part, partition, steps, inside) => {
  expect(parseDiskPath(point, path)).toEqual({ part, partition, steps, inside });
});

it.each(["disk/root", "disk/other:1/x", "state/head:1/x", "disk/root:x", "disk/root:0/x", "disk/root:99999", ""])(
  "%j doesn't lead into a disk",
  (path) => {
    expect(parseDiskPath(point, path)).toBeUndefined();
  },
);

it("is written as it is read", () => {
  for (const [partition, text] of [
    [3, "disk/root:3/etc/x"],
    [undefined, "disk/root:/etc/x"],
  ] as const)
    expect(formatDiskPath({ part: "disk/root", partition }, Buffer.from("etc/x")).toString()).toBe(text);
});
