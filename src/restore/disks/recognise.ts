/** What a disk or partition holds, told by the signatures that blkid(8) goes by. */
import { type DiskBytes, readRange } from "./disk-bytes.ts";

interface Signature {
  readonly name: string;
  readonly offset: number;
  readonly bytes: string;
}

const signatures: readonly Signature[] = [
  { name: "LUKS", offset: 0, bytes: "LUKS\xba\xbe" },
  { name: "XFS", offset: 0, bytes: "XFSB" },
  { name: "NTFS", offset: 3, bytes: "NTFS    " },
  { name: "exFAT", offset: 3, bytes: "EXFAT   " },
  { name: "squashfs", offset: 0, bytes: "hsqs" },
  { name: "FAT", offset: 54, bytes: "FAT1" },
  { name: "FAT", offset: 82, bytes: "FAT32" },
  { name: "LVM", offset: 512, bytes: "LABELONE" },
  { name: "ext", offset: 1024 + 56, bytes: "\x53\xef" },
  { name: "swap", offset: 4086, bytes: "SWAPSPACE2" },
  { name: "RAID", offset: 4096, bytes: "\xfc\x4e\x2b\xa9" },
  { name: "ISO 9660", offset: 32769, bytes: "CD001" },
  { name: "btrfs", offset: 65536 + 64, bytes: "_BHRfS_M" },
  { name: "ZFS", offset: 128 * 1024, bytes: "\x0c\xb1\xba\0" },
];

/** `ext` for ext2, ext3 and ext4; undefined for what isn't known. Throws what reading throws. */
export async function recognise(disk: DiskBytes): Promise<string | undefined> {
  for (const { name, offset, bytes } of signatures)
    if ((await readRange(disk, offset, bytes.length)).toString("latin1") === bytes) return name;
  return undefined;
}
