import { expect, it } from "vitest";
import { findBase } from "../../../src/capture/vm/bitmaps.ts";
import type { Disk } from "../../../src/capture/vm/disks.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";

const name = "stillpoint-0123456789abcdef";
const bitmap = { name, recording: true, busy: false, inconsistent: false };

function disk(changes: Partial<Disk["medium"]> = {}): Disk {
  const medium = {
    node: "node0",
    file: "/images/a.qcow2",
    format: "qcow2",
    size: 1_000_000,
    readOnly: false,
    keepsBitmaps: true,
    bitmaps: [bitmap],
  };
  return { name: "a", device: "/machine/peripheral/a", medium: { ...medium, ...changes } };
}

function earlier(changes: object = {}, image: object = {}): RecoveryPoint {
  const known = { name: "a", size: 1_000_000, file: "/images/a.qcow2", bitmap: name, ...changes };
  const part = { name: "disk/a", kind: "image", size: 1_000_000, block: 131_072, depth: 1, root: "00", ...image };
  return { manifest: { machine: { disks: [known] }, parts: [part] } } as unknown as RecoveryPoint;
}

it("relies on the bitmap that began at the earlier point", () => {
  expect(findBase(disk(), earlier())).toMatchObject({ bitmap: name, image: { name: "disk/a" } });
});

it.each([
  ["no earlier point", disk(), undefined],
  ["doesn't have this disk", disk(), earlier({ name: "b" })],
  ["doesn't have this disk", disk(), earlier({}, { name: "disk/b" })],
  ["no bitmap was begun", disk(), earlier({ bitmap: null })],
  ["size has changed", disk({ size: 2_000_000 }), earlier()],
  ["image file is another", disk({ file: "/images/b.qcow2" }), earlier()],
  ["blocks of another size", disk(), earlier({}, { block: 65_536 })],
  ["bitmap is gone", disk({ bitmaps: [] }), earlier()],
  ["bitmap is gone", disk({ bitmaps: [{ ...bitmap, name: "stillpoint-fedcba9876543210" }] }), earlier()],
  ["inconsistent", disk({ bitmaps: [{ ...bitmap, inconsistent: true }] }), earlier()],
  ["disabled", disk({ bitmaps: [{ ...bitmap, recording: false }] }), earlier()],
  ["somebody else", disk({ bitmaps: [{ ...bitmap, busy: true }] }), earlier()],
])("relies on nothing when in doubt: %s", (reason, now, point) => {
  expect(findBase(now, point)).toContain(reason);
});
