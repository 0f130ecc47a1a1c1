/** A disk of a machine of libvirt, captured by Stillpoint and by virtnbdbackup in turn: first, and after the same changes. */
import { mkdirSync, rmSync, statSync } from "node:fs";
import * as path from "node:path";
import { bytesIn, makeData, settle, workFolder } from "../data.ts";
import { type Cost, measure, run } from "../measure.ts";
import { vmOperations } from "../operations.ts";
import type { Results } from "../results.ts";
import type { CaptureOptions } from "./captures.ts";
import { changeDisk } from "./changes.ts";
import { control } from "./guest.ts";
import { type LibvirtGuest, startLibvirtGuest } from "./libvirt-guest.ts";
import { Site } from "./site.ts";

interface Captured extends Cost {
  readonly stored: number;
}

interface Disk {
  readonly path: string;
  /** As the guest sees it, in bytes. */
  readonly size: number;
}

/** virtnbdrestore gives the disk this name again. */
const diskName = "disk.qcow2";

export async function measureVirtnbdbackup(work: string, results: Results, options: CaptureOptions): Promise<void> {
  const version = await run({ program: "virtnbdbackup", args: ["--version"] }).catch(() => undefined);
  if (version === undefined) {
    console.log("virtnbdbackup isn't there, and is left out.");
    return;
  }
  console.log(`virtnbdbackup ${version.trim()}`);
  const folder = emptyFolder(path.join(work, "guest"));
  const disk = await makeDisk(path.join(folder, diskName), options.quick);
  const guest = await startLibvirtGuest(folder, disk.path);
  try {
    for (let round = 1; round <= options.rounds; round++) await measureRound(work, results, guest, disk, round);
  } finally {
    await guest.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makeDisk(file: string, quick: boolean): Promise<Disk> {
  const { image } = await makeData(workFolder(), quick);
  const { size } = statSync(image.path);
  await run({ program: "qemu-img", args: ["convert", "-f", "raw", "-O", "qcow2", image.path, file] });
  rmSync(image.path);
  return { path: file, size };
}

/** The two take turns at being the first. */
async function measureRound(
  work: string,
  results: Results,
  guest: LibvirtGuest,
  disk: Disk,
  round: number,
): Promise<void> {
  const vm = { qmp: guest.qmp, memory: false, disks: [guest.device] };
  const site = await Site.make(path.join(work, "site"), { vm });
  const chain = emptyFolder(path.join(work, "chain"));
  const programs: { readonly peer: string; readonly capture: (level: Level) => Promise<Captured> }[] = [
    { peer: "stillpoint", capture: async () => await site.capture() },
    { peer: "virtnbdbackup", capture: async (level) => await backUp(guest, chain, level) },
  ];
  if (round % 2 === 0) programs.reverse();
  const note = async (operation: string, peer: string, capture: () => Promise<Captured>): Promise<void> => {
    await settle(disk.path);
    const { stored, ...cost } = await capture();
    results.samples.push({ operation, peer, ...cost, storedBytes: stored });
    console.log(`  ${operation}  ${peer}  ${cost.seconds.toFixed(2)} s`);
  };
  const { first, changed } = vmOperations;
  for (const { peer, capture } of programs) await note(first, peer, async () => await capture("full"));
  const single = emptyFolder(path.join(work, "single"));
  await note(first, "virtnbdbackup -z", async () => await backUp(guest, single, "copy", "--compress"));
  rmSync(single, { recursive: true });
  const bytes = await change(guest, disk.size);
  for (const { peer, capture } of programs) {
    await note(changed, peer, async () => await capture("inc"));
    const stored = results.median(changed, peer, "storedBytes") ?? Number.NaN;
    results.facts[`${changed}: bytes stored per byte changed, ${peer}`] = stored / bytes;
  }
  if (round === 1) await compareRestored(emptyFolder(path.join(work, "restored")), guest, site, chain);
}

/** Speed counts only for what is right: both programs bring back the same disk. */
async function compareRestored(folder: string, guest: LibvirtGuest, site: Site, chain: string): Promise<void> {
  const [ours, theirs] = [path.join(folder, "ours"), emptyFolder(path.join(folder, "theirs"))];
  await site.run("restore", "latest", "--source", "one", "--to", ours, "--quiet");
  const at = ["--uri", guest.uri, "--socketfile", path.join(guest.folder, "restore"), "--noprogress"];
  await run({ program: "virtnbdrestore", args: [...at, "--input", chain, "--output", theirs] });
  const disks = [path.join(ours, "disks", `${guest.device}.raw`), path.join(theirs, diskName)];
  await run({ program: "qemu-img", args: ["compare", ...disks] });
  rmSync(folder, { recursive: true });
}

/** `copy` is a first backup that no increment can follow. */
type Level = "full" | "inc" | "copy";

async function backUp(guest: LibvirtGuest, folder: string, level: Level, ...more: string[]): Promise<Captured> {
  const { uri, name, folder: scratch } = guest;
  const socket = path.join(scratch, "backup");
  const before = bytesIn(folder);
  const to = ["--uri", uri, "--domain", name, "--output", folder, "--scratchdir", scratch, "--socketfile", socket];
  const cost = await measure({ program: "virtnbdbackup", args: [...to, "--noprogress", "--level", level, ...more] });
  return { ...cost, stored: bytesIn(folder) - before };
}

async function change(guest: LibvirtGuest, size: number): Promise<number> {
  await using qmp = await control(guest);
  return await changeDisk(qmp, guest.device, size, path.join(guest.folder, "piece"));
}

function emptyFolder(folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
