import * as fs from "node:fs";
import { makeNode, setTimes, setXattr } from "../../src/host/syscalls.ts";
import type { Random } from "../../src/host/random.ts";

const isRoot = process.getuid?.() === 0;
const slash = Buffer.from("/");

/** Names that have made trouble somewhere: not UTF-8, newlines, leading dashes, what looks like a pattern, emoji. */
const oddNames = [[0xff, 0xfe], "a\nb", "-rf", "*", "[x]", " ", "ü", "u\u0308", "🙂", ".hidden", "a".repeat(255)].map(
  (name) => Buffer.from(name as string),
);

/** Changes a tree on disk in `steps` random ways, of the kinds that a file system knows. */
export function mutateTree(root: string, random: Random, steps: number): void {
  for (let step = 0; step < steps; step++) mutateOnce(Buffer.from(root), random);
}

function mutateOnce(root: Buffer, random: Random): void {
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random.fraction() * choices.length)] as T;
  const all = listAll(root);
  const folders = [root, ...all.filter((path) => fs.lstatSync(path).isDirectory())];
  const files = all.filter((path) => fs.lstatSync(path).isFile());
  const fresh = join(
    pick(folders),
    random.fraction() < 0.3 ? pick(oddNames) : Buffer.from(`f${Math.floor(random.fraction() * 1000)}`),
  );
  // Only what is new: a FIFO there would wait for its reader, a socket refuse, a symbolic link lead elsewhere.
  const makers = [
    () => fs.writeFileSync(fresh, contentOf(random), { flag: "wx" }),
    () => fs.writeFileSync(fresh, contentOf(random), { flag: "wx" }),
    () => fs.mkdirSync(fresh),
    () => fs.symlinkSync(pick(["/nowhere", "f1", "../..", Buffer.from([0x2f, 0xff])]), fresh),
    () => makeNode(fresh, 0o010644, 0n),
    () => makeNode(fresh, 0o140644, 0n),
    () => makeSparse(fresh, random),
    () => files.length > 0 && fs.linkSync(pick(files), fresh),
    () => isRoot && makeNode(fresh, 0o020600, BigInt((1 << 8) | 3)),
  ];
  const changers = [
    () => files.length > 0 && fs.appendFileSync(pick(files), contentOf(random)),
    () => files.length > 0 && fs.writeFileSync(pick(files), contentOf(random)),
    () => files.length > 0 && fs.truncateSync(pick(files), Math.floor(random.fraction() * 5000)),
    () => all.length > 0 && remove(pick(all)),
    () => all.length > 0 && !fs.existsSync(fresh) && renameSafely(pick(all), fresh),
    () => all.length > 0 && chmodSafely(pick(all), pick([0o755, 0o700, 0o4755, 0o1777, 0o640])),
    () => files.length > 0 && setXattr(pick(files), Buffer.from("user.note"), random.bytes(8)),
    () =>
      all.length > 0 && setTimes(pick(all), 0n, BigInt(Math.floor((random.fraction() - 0.3) * 2 ** 40)) * 1_000_003n),
    () => isRoot && all.length > 0 && fs.lchownSync(pick(all), Math.floor(random.fraction() * 70000), 12),
    () => isRoot && files.length > 0 && setXattr(pick(files), Buffer.from("security.capability"), capability),
    () => isRoot && files.length > 0 && setXattr(pick(files), Buffer.from("system.posix_acl_access"), acl),
  ];
  try {
    pick(random.fraction() < 0.5 ? makers : changers)();
  } catch (error) {
    if (
      // ENOTDIR: a folder is renamed to the name of a symbolic link that leads nowhere, which existsSync doesn't see.
      !["EEXIST", "EISDIR", "ENOTDIR", "ENOTSUP", "EOPNOTSUPP", "EINVAL", "ENOTEMPTY"].includes(
        (error as NodeJS.ErrnoException).code ?? "",
      )
    )
      throw error;
  }
}

/** cap_net_bind_service=ep, as setcap(8) writes it. */
const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
/** user::rw-, user:1000:r--, group::r--, mask::r--, other::--- as setfacl(1) writes it. */
const acl = Buffer.from(
  "0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff",
  "hex",
);

function contentOf(random: Random): Buffer {
  const kind = random.fraction();
  if (kind < 0.2) return Buffer.alloc(0);
  if (kind < 0.7) return random.bytes(Math.floor(random.fraction() * 3000));
  if (kind < 0.9) return Buffer.alloc(Math.floor(random.fraction() * 300_000), random.bytes(7));
  return Buffer.concat([random.bytes(64), Buffer.alloc(600_000), random.bytes(64)]);
}

function makeSparse(path: Buffer, random: Random): void {
  const fd = fs.openSync(path, "wx");
  fs.writeSync(fd, random.bytes(100), 0, 100, Math.floor(random.fraction() * 6_000_000));
  fs.ftruncateSync(fd, Math.floor(6_000_200 + random.fraction() * 3_000_000));
  fs.closeSync(fd);
}

function renameSafely(from: Buffer, to: Buffer): void {
  if (!to.subarray(0, from.length + 1).equals(Buffer.concat([from, slash]))) fs.renameSync(from, to);
}

function chmodSafely(path: Buffer, mode: number): void {
  if (!fs.lstatSync(path).isSymbolicLink()) fs.chmodSync(path, mode);
}

/** rmSync needs names that are UTF-8. */
function remove(path: Buffer): void {
  if (!fs.lstatSync(path).isDirectory()) {
    fs.unlinkSync(path);
    return;
  }
  for (const name of fs.readdirSync(path, { encoding: "buffer" })) remove(join(path, name));
  fs.rmdirSync(path);
}

function listAll(folder: Buffer): Buffer[] {
  return fs.readdirSync(folder, { encoding: "buffer" }).flatMap((name) => {
    const path = join(folder, name);
    return fs.lstatSync(path).isDirectory() ? [path, ...listAll(path)] : [path];
  });
}

function join(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, slash, name]);
}
