/** What a diagnosis means to people: one finding for each thing that is wrong. */
import { type Affected, joinAffected } from "./affected.ts";
import type { Diagnosis } from "./diagnose.ts";
import { packName } from "../blobs/pack.ts";

/** `object`: an object of one body; `pack`; `index`: a pack that no index names; `blob`: one that is nowhere; `chain`: a missing point;
 * `lock`: something was done to a locked object; `point`: one that isn't what it claims. */
export type FindingKind = "object" | "pack" | "index" | "blob" | "chain" | "lock" | "point";

/** Something wrong. */
export interface Finding {
  readonly kind: FindingKind;
  /** The object's name; for a blob that is nowhere its id, in hex. */
  readonly object: string;
  /** A sentence without a full stop. */
  readonly message: string;
  /** What can't be read because of it; empty when it costs no data, since there are other copies or nobody needs it. */
  readonly affected: readonly Affected[];
  /** Of the kind `chain`: the id of the missing point. */
  readonly missing?: string;
}

/** The findings of a diagnosis. */
export function describeDiagnosis({ store, damaged, badPacks, unindexed, unreadable }: Diagnosis): Finding[] {
  const locks = store.repository.storage.locks !== undefined;
  const objects = damaged.map(({ name, error }): Finding => {
    return { kind: "object", object: name, message: error.parts.what, affected: pointOf(name) };
  });
  const explained = new Set<object>();
  const packs = badPacks.flatMap(({ id, indexed, message, blobs }): Finding[] => {
    const lost = blobs.flatMap((blob) => unreadable.get(blob.kind, blob.id) ?? []);
    for (const blob of lost) explained.add(blob);
    // What costs nothing is a sweep's matter, not damage, when no index names it; or a locked one does, which no repair and no sweep can change.
    if (lost.length === 0 && (!indexed || locks)) return [];
    return [
      {
        kind: "pack",
        object: packName(id),
        message,
        affected: joinAffected(lost.flatMap(({ affected }) => affected)),
      },
    ];
  });
  const told = new Set(packs.map(({ object }) => object));
  const indexes = unindexed.flatMap(({ id }): Finding[] => {
    if (told.has(packName(id))) return [];
    const message = `The pack ${packName(id)}, which recovery points need, is in no index; nothing of it is lost`;
    return [{ kind: "index", object: packName(id), message, affected: [] }];
  });
  const blobs = [...unreadable.values()].flatMap((blob): Finding[] => {
    if (explained.has(blob) || blob.affected.length === 0) return [];
    const id = blob.id.toString("hex");
    return [
      {
        kind: "blob",
        object: id,
        message: `No copy of the blob ${id} can be read`,
        affected: joinAffected(blob.affected),
      },
    ];
  });
  return [...objects, ...packs, ...indexes, ...blobs];
}

/** A manifest that can't be read costs its whole point. */
function pointOf(name: string): Affected[] {
  const id = /^points\/.*-([0-9a-f]{32})$/.exec(name)?.[1];
  return id === undefined ? [] : [{ point: id, path: "." }];
}
