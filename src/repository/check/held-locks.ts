/**
 * For how long the store itself holds what records say is locked. Who has the repository's key can write records, so each lock is asked
 * for, and what a point needs is found by walking its trees, whatever is named beside it.
 */
import type { ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { packName } from "../blobs/pack.ts";
import { sameContent } from "../locks/versions.ts";
import type { TreeNode } from "../mark/mark-node.ts";
import { type CatalogPoint, forEachAtOnce } from "../points/catalog.ts";
import type { MarkWatch } from "./diagnose.ts";
import type { Finding } from "./findings.ts";
import { day, type LockedView } from "./locks.ts";

const locksAtOnce = 16;

/** All times in ms since the epoch, by the store's clock. */
export class HeldLocks implements MarkWatch {
  readonly #view: LockedView;
  /** Until when each object that a record names is held, by its name. */
  readonly #held = new Map<string, number>();
  /** Until when objects should be. */
  readonly #due = new Map<string, number>();

  private constructor(view: LockedView) {
    this.#view = view;
    for (const [name, { until }] of view.pins.objects) this.#need(name, until);
  }

  /** One request for each object. Throws a storage error. */
  static async ask(view: LockedView, options: CallOptions): Promise<HeldLocks> {
    const locks = new HeldLocks(view);
    await forEachAtOnce(view.pins.objects, locksAtOnce, async ([name, { version }]) => {
      const pinned = view.versions.get(name)?.find((one) => one.version === version);
      // That a locked version is gone is a finding of its own.
      locks.#held.set(name, pinned === undefined ? Infinity : await locks.#endOf(pinned, options));
    });
    locks.#needCommon();
    return locks;
  }

  /** What all points need beside what is their own: `format` and a key. An index is made from the packs again. */
  #needCommon(): void {
    const longest = Math.max(0, ...this.#view.pins.points.values());
    this.#need("format", longest);
    const keys = [...this.#held].filter(([name]) => name.startsWith("keys/"));
    const [best] = keys.toSorted(([, a], [, b]) => b - a);
    if (best !== undefined) this.#need(best[0], longest);
  }

  /** Those that are locked longest come first, so that each blob is told as what the longest of its locks needs. */
  readonly group = (points: readonly CatalogPoint[]): readonly (readonly CatalogPoint[])[] => {
    for (const { id, name } of points) this.#need(name, this.#lockOf(id));
    const groups = Map.groupBy(points, ({ id }) => this.#lockOf(id));
    return [...groups].toSorted(([a], [b]) => b - a).map(([, group]) => group);
  };

  /** Of several packs that have a blob, it is enough that one is held. */
  readonly onMark = ({ id, place }: TreeNode, { index, packs }: BlobStore): void => {
    const until = this.#lockOf(place.point.id);
    if (until === 0) return;
    let best: { readonly name: string; readonly end: number } | undefined;
    for (const number of index.packsOf(id)) {
      const name = packName(packs.get(number).id);
      const end = this.#held.get(name) ?? 0;
      if (best === undefined || end > best.end) best = { name, end };
    }
    if (best !== undefined) this.#need(best.name, until);
  };

  /** Locks that end before they should: they were never set, weren't renewed, or were taken back by who has the right to. Throws a storage error. */
  async findings(options: CallOptions): Promise<Finding[]> {
    const findings: Finding[] = [];
    await forEachAtOnce(this.#due, locksAtOnce, async ([name, until]) => {
      const end = await this.#longestOf(name, until, options);
      if (isEnough(end, until)) return;
      const is = end === 0 ? "isn't locked" : `is locked until ${day(end)} only`;
      const message = `${name} ${is}, and should be until ${day(until)}`;
      findings.push({ kind: "lock", object: name, message, affected: [] });
    });
    return findings;
  }

  #need(name: string, until: number): void {
    if (until > 0) this.#due.set(name, Math.max(until, this.#due.get(name) ?? 0));
  }

  /** Until when a point is locked, as records say; 0 for one that isn't. */
  #lockOf(id: string): number {
    return this.#view.pins.points.get(id) ?? 0;
  }

  async #endOf({ name, version }: ObjectVersion, options: CallOptions): Promise<number> {
    return (await this.#view.intact.storage.locks?.lockedUntil(name, version, options)) ?? 0;
  }

  /** What was hidden and sent once more is held by a later version with the same content. */
  async #longestOf(name: string, until: number, options: CallOptions): Promise<number> {
    const held = this.#held.get(name) ?? 0;
    const { pins, intact, versions } = this.#view;
    const { locks } = intact.storage;
    const pinned = versions.get(name)?.find(({ version }) => version === pins.objects.get(name)?.version);
    if (isEnough(held, until) || locks === undefined || pinned === undefined) return held;
    const ends = [held];
    for (const other of versions.get(name) ?? []) {
      if (other === pinned || other.marker || !(await sameContent(locks, pinned, other, options))) continue;
      ends.push(await this.#endOf(other, options));
    }
    return Math.max(...ends);
  }
}

/** Stores keep whole seconds. */
function isEnough(end: number, until: number): boolean {
  return end > until - 1000;
}
