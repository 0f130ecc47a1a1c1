/** The drives of a guest, as `query-block` tells of them (qapi/block-core.json of QEMU's source). */
import type { Qmp } from "../../qemu/qmp.ts";
import { refused, step } from "./trouble.ts";

/** A dirty bitmap of a block node. */
export interface Bitmap {
  readonly name: string;
  readonly recording: boolean;
  readonly busy: boolean;
  readonly inconsistent: boolean;
}

export interface Drive {
  /** Unique, and fit for the name of a part. */
  readonly name: string;
  /** Path of the device in QEMU's object tree. */
  readonly device: string;
  /** What is in it; undefined for an empty drive. */
  readonly medium: Medium | undefined;
}

export interface Medium {
  /** The block node that the device is connected to. */
  readonly node: string;
  /** Path or URI of its image. */
  readonly file: string;
  /** Of the image: `raw`, `qcow2`, … */
  readonly format: string;
  /** In bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether the image can keep dirty bitmaps when QEMU ends. */
  readonly keepsBitmaps: boolean;
  readonly bitmaps: readonly Bitmap[];
}

/** A drive with something in it. */
export type Disk = Drive & { readonly medium: Medium };

interface BlockInfo {
  readonly device: string;
  readonly qdev?: string;
  readonly inserted?: {
    readonly "node-name": string;
    readonly drv: string;
    readonly ro: boolean;
    readonly file: string;
    readonly image: {
      readonly "virtual-size": number;
      readonly filename: string;
      readonly "format-specific"?: { readonly data?: { readonly compat?: string } };
    };
    readonly "dirty-bitmaps"?: readonly {
      readonly name?: string;
      readonly recording: boolean;
      readonly busy: boolean;
      readonly inconsistent?: boolean;
    }[];
  };
}

/** Every drive that is connected to a device. Those without one are nothing that a guest could see. */
export async function listDrives(qmp: Qmp): Promise<Drive[]> {
  const infos = await step("list the disks", qmp.execute<readonly BlockInfo[]>("query-block"));
  const taken = new Set<string>();
  return infos.flatMap((info): Drive[] => {
    if (info.qdev === undefined || info.qdev === "") return [];
    const device = info.qdev.startsWith("/") ? info.qdev : `/machine/peripheral/${info.qdev}`;
    return [{ name: unique(nameOf(info), taken), device, medium: mediumOf(info.inserted) }];
  });
}

export function isDisk(drive: Drive): drive is Disk {
  return drive.medium !== undefined;
}

/** The disks among `drives` that are to be captured. Throws `vm_refused` when one that is named isn't there. */
export function chooseDisks(drives: readonly Drive[], wanted: "all" | readonly string[]): Disk[] {
  const disks = drives.filter(isDisk);
  if (wanted === "all") return disks;
  const missing = wanted.filter((name) => !disks.some((disk) => disk.name === name));
  if (missing.length === 0) return disks.filter(({ name }) => wanted.includes(name));
  const there = disks.map(({ name }) => name).join(", ");
  throw refused(
    `it has no disk named ${missing.join(", ")}; there are ${there === "" ? "none" : there}`,
    "Correct `disks` in the configuration.",
  );
}

function mediumOf(inserted: BlockInfo["inserted"]): Medium | undefined {
  if (inserted === undefined) return undefined;
  const { image, drv } = inserted;
  return {
    node: inserted["node-name"],
    file: image.filename,
    format: drv,
    size: image["virtual-size"],
    readOnly: inserted.ro,
    // The first version of the format has no place for them.
    keepsBitmaps: drv === "qcow2" && image["format-specific"]?.data?.compat !== "0.10",
    bitmaps: (inserted["dirty-bitmaps"] ?? []).map(({ name = "", recording, busy, inconsistent = false }) => ({
      name,
      recording,
      busy,
      inconsistent,
    })),
  };
}

/** What an administrator calls it: the drive's id, else the device's, else the node's, else its place. */
function nameOf({ device, qdev = "", inserted }: BlockInfo): string {
  const node = inserted?.["node-name"] ?? "#";
  const id = /^(?:\/machine\/peripheral\/)?([^/]+)(?:\/|$)/.exec(qdev)?.[1];
  const name = [device, id, node.startsWith("#") ? "" : node, qdev.slice("/machine/".length)].find(Boolean) ?? "";
  return name.replaceAll(/[^\w.-]+/g, "-").replace(/^[.-]+|-+$/g, "") || "disk";
}

function unique(name: string, taken: Set<string>): string {
  let free = name;
  for (let number = 2; taken.has(free); number++) free = `${name}-${number}`;
  taken.add(free);
  return free;
}
