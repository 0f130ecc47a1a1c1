import { expect, test } from "vitest";
import { flashFromDisks } from "../../../src/capture/vm/flash.ts";
import type { ImagePart } from "../../../src/repository/points/manifest.ts";

function image(name: string, size: number, root: string): ImagePart {
  return { name, kind: "image", size, block: 65_536, depth: 1, root };
}

const memory = [image("memory/0", 2 ** 25, "aa"), image("memory/1", 2 ** 18, "bb"), image("memory/2", 2 ** 18, "cc")];
const blocks = [
  { id: "pc.ram", size: 2 ** 25 },
  { id: "system.flash0", size: 2 ** 18 },
  { id: "system.flash1", size: 2 ** 18 },
];
const flash = new Map([["system.flash1", "variables"]]);

test("flash memory is as on its disk, everything else as it was saved", () => {
  const disks = new Map([["variables", image("disk/variables", 2 ** 18, "dd")]]);
  const [ram, code] = memory;
  expect(flashFromDisks(memory, blocks, flash, disks)).toEqual([ram, code, image("memory/2", 2 ** 18, "dd")]);
});

test.each([
  ["wasn't captured", new Map<string, ImagePart>()],
  ["is of another size", new Map([["variables", image("disk/variables", 2 ** 17, "dd")]])],
])("flash memory whose disk %s stays as it was saved", (_, disks) => {
  expect(flashFromDisks(memory, blocks, flash, disks)).toEqual(memory);
});
