/** Files and folders of the simulated disk, and what becomes of them when the power goes. */

import type { Random } from "../../src/host/random.ts";
import { seededRandom } from "./seeded-random.ts";

export interface FileNode {
  readonly kind: "file";
  content: Buffer;
  /** Whether the content is on the medium. */
  synced: boolean;
  /** In ms since the epoch. */
  readonly time: number;
}

export interface FolderNode {
  readonly kind: "folder";
  /** What programs see. */
  readonly entries: Map<string, DiskNode>;
  /** What is on the medium. */
  readonly durable: Map<string, DiskNode>;
  /** What happened in this folder and has not reached the medium yet, oldest first. */
  readonly pending: Set<Change>;
}

export type DiskNode = FileNode | FolderNode;

export interface Change {
  readonly folder: FolderNode;
  readonly name: string;
  /** What the name stands for from now on; undefined when it was removed. */
  readonly node: DiskNode | undefined;
  /** The first half of a rename, the new name: the old name never leaves the medium before the new one is on it. */
  readonly after?: Change;
}

export function newFolder(): FolderNode {
  return { kind: "folder", entries: new Map(), durable: new Map(), pending: new Set() };
}

/** Makes a change that programs see at once, and that the medium will see when the folder is synced. */
export function apply(change: Change): void {
  setOrDelete(change.folder.entries, change);
  change.folder.pending.add(change);
}

/** Brings all that happened in a folder to the medium. */
export function flush(folder: FolderNode): void {
  for (const change of folder.pending) flushChange(change);
}

function flushChange(change: Change): void {
  if (!change.folder.pending.delete(change)) return;
  if (change.after) flushChange(change.after);
  setOrDelete(change.folder.durable, change);
}

function setOrDelete(map: Map<string, DiskNode>, { name, node }: Change): void {
  if (node) map.set(name, node);
  else map.delete(name);
}

/** A copy of all that programs see, as if everything had been synced. */
export function copyOf(folder: FolderNode): FolderNode {
  return rebuild(folder, { entriesOf: ({ entries }) => entries, contentOf: ({ content }) => content });
}

/** What a machine that lost its power finds: everything that had reached the medium, and by chance some of the rest. */
export function survivorsOf(folder: FolderNode, seed: number): FolderNode {
  const random = seededRandom(seed);
  const fates = new Map<Change, boolean>();
  const survives = (change: Change): boolean => {
    if (!change.folder.pending.has(change)) return true;
    const fate = fates.get(change) ?? (random.fraction() < 0.5 && (!change.after || survives(change.after)));
    fates.set(change, fate);
    return fate;
  };
  return rebuild(folder, {
    entriesOf(node) {
      const entries = new Map(node.durable);
      for (const change of node.pending) if (survives(change)) setOrDelete(entries, change);
      return entries;
    },
    contentOf: (file) => (file.synced ? file.content : ruin(file.content, random)),
  });
}

/** Content that nobody synced: whole, cut off, zero-filled, zero-filled at its end, or empty. */
function ruin(content: Buffer, random: Random): Buffer {
  const cut = Math.floor(random.fraction() * content.length);
  const outcomes = [
    content,
    content.subarray(0, cut),
    Buffer.alloc(content.length),
    Buffer.concat([content.subarray(0, cut), Buffer.alloc(content.length - cut)]),
    Buffer.alloc(0),
  ];
  return outcomes[Math.floor(random.fraction() * outcomes.length)] ?? content;
}

interface Survival {
  entriesOf(folder: FolderNode): Map<string, DiskNode>;
  contentOf(file: FileNode): Buffer;
}

function rebuild(root: FolderNode, survival: Survival): FolderNode {
  // One file may survive under two names, when a rename was cut in two.
  const rebuilt = new Map<DiskNode, DiskNode>();
  const rebuildNode = (node: DiskNode): DiskNode => {
    const known = rebuilt.get(node);
    if (known) return known;
    const made: DiskNode =
      node.kind === "file"
        ? { kind: "file", content: survival.contentOf(node), synced: true, time: node.time }
        : rebuildFolder(node);
    rebuilt.set(node, made);
    return made;
  };
  const rebuildFolder = (folder: FolderNode): FolderNode => {
    const made = newFolder();
    for (const [name, node] of survival.entriesOf(folder)) {
      const survivor = rebuildNode(node);
      made.entries.set(name, survivor);
      made.durable.set(name, survivor);
    }
    return made;
  };
  return rebuildFolder(root);
}
