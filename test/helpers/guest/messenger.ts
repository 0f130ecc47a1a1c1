/** Two guests (messenger.S) that send each other numbered messages over a socket. */
import * as fs from "node:fs";
import * as path from "node:path";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { assemble } from "./assemble.ts";
import { commonArguments, type Guest, guestFolder, isListening, makeImage, startQemu, waitFor } from "./qemu.ts";

export interface Messages {
  /** The number of the last message sent, or begun to be sent. */
  readonly sent: number;
  /** The number of the last message received as a whole. */
  readonly received: number;
  /** How many messages came out of turn. */
  readonly wrong: number;
}

const recordAddress = 0x7e00;

/** @param file an image of the guest's memory (the RAM block `pc.ram`) */
export function readMessages(file: string): Messages {
  const bytes = Buffer.alloc(20);
  const fd = fs.openSync(file, "r");
  fs.readSync(fd, bytes, 0, bytes.length, recordAddress);
  fs.closeSync(fd);
  if (bytes.toString("latin1", 0, 8) !== "STILLPNT") throw new Error(`${file} has no record of the messenger guest`);
  return { sent: bytes.readUInt32LE(8), received: bytes.readUInt32LE(12), wrong: bytes.readUInt32LE(16) };
}

/** What one has received and the other has not sent; nothing when the two can be of one instant. */
export function unsentMessages(one: Messages, other: Messages): string[] {
  const judge = (receiver: Messages, sender: Messages, name: string): string[] => [
    ...(receiver.received > sender.sent
      ? [`${name} has received ${String(receiver.received)}, of ${String(sender.sent)} sent`]
      : []),
    ...(receiver.wrong > 0 ? [`${name} has received ${String(receiver.wrong)} messages out of turn`] : []),
  ];
  return [...judge(one, other, "the first"), ...judge(other, one, "the second")];
}

/** Starts both, each with 16 MiB of memory and one disk, and waits until each has heard of the other. */
export async function startMessengers(): Promise<readonly [Guest, Guest]> {
  const first = await startMessenger((folder) => `path=${path.join(folder, "line")},server=on,wait=off`, "-S");
  const line = path.join(first.folder, "line");
  await waitFor("the line", () => isListening(line));
  const second = await startMessenger(() => `path=${line}`);
  // Not before there is someone at the other end: what it sent would be lost.
  await using qmp = await Qmp.connect(first.qmp);
  await qmp.execute("cont");
  await qmp.close();
  await untilReceived([first, second], 1);
  return [first, second];
}

/** Waits until each has received so many messages from now on. */
export async function untilReceived(guests: readonly Guest[], more: number): Promise<void> {
  const wait = async ({ qmp: socket }: Guest): Promise<void> => {
    await using qmp = await Qmp.connect(socket);
    // None before the mark is there: the firmware may have left anything.
    const received = async (): Promise<number> => {
      const words = (await qmp.hmp(`xp /4wx ${String(recordAddress)}`)).match(/0x[0-9a-f]{8}/g)?.map(Number) ?? [];
      return words[0] === 0x4c49_5453 ? (words[3] ?? 0) : 0;
    };
    const target = (await received()) + more;
    await waitFor(`message ${String(target)}`, async () => (await received()) >= target);
  };
  await Promise.all(guests.map(wait));
}

async function startMessenger(line: (folder: string) => string, ...args: readonly string[]): Promise<Guest> {
  const place = guestFolder(undefined);
  const disk = path.join(place.folder, "disk0.raw");
  makeImage(disk, "raw", 1024 * 1024, assemble(path.join(import.meta.dirname, "messenger.S")));
  const argv = [
    ...commonArguments(place.folder),
    "-machine",
    "pc",
    "-m",
    "16",
    "-chardev",
    `socket,id=line,${line(place.folder)}`,
    "-serial",
    "chardev:line",
    "-drive",
    `if=none,id=disk0,format=raw,file=${disk}`,
    "-device",
    "virtio-blk-pci,id=disk0,drive=disk0",
    ...args,
  ];
  return await startQemu(place, argv, [disk]);
}
