/**
 * What `prune` may forget: the keep rules, and around them the guards that no rule overrides. Idempotent: what is kept
 * once is kept again while nothing else changes.
 */

import type { Decision, KeepRules, Kept, Point, RetentionClock } from "./retention.ts";
import { applyRules, newestFirst } from "./retention.ts";

export interface RetainPoint extends Point {
  /** At a replica: when it received the point, in ms since the epoch, by its own clock. */
  readonly received?: number | undefined;
  /** Nobody and no rule may delete it. */
  readonly held?: boolean | undefined;
  /** Until when somebody reads it, in ms since the epoch, or has read it. */
  readonly readUntil?: number | undefined;
  /** Until when the store keeps it from being deleted, in ms since the epoch. */
  readonly lockedUntil?: number | undefined;
  /** A drill, or a check that read all of it, has proven it. */
  readonly verified?: boolean | undefined;
  /** The replicas that it is meant for and that don't have it yet. */
  readonly missingAt?: readonly string[] | undefined;
  /** The other policies that it belongs to as well and that keep it. */
  readonly keptBy?: readonly string[] | undefined;
}

/** How much a dead replica may hold back beyond the rules: points of at most `age` ms, at most `count` of them. */
export interface UnreplicatedCap {
  readonly count: number;
  readonly age: number;
}

export interface Retention extends Decision {
  /** Of `remove`: points that a replica still lacks, given up because the cap is reached. To be shouted about. */
  readonly givenUp: readonly string[];
  /** Of what stays: points that go when something has passed, a lock, a reader, or a replica's lack of them. */
  readonly deferred: readonly string[];
  /** Of what stays: points that only another policy keeps. */
  readonly shared: readonly string[];
}

/** Clocks may differ by this much, in ms, before a point counts as dated in the future. */
const tolerance = 5 * 60_000;
/** A replica believes a claimed time this much before it received the point, in ms: what copying usually takes. */
const usualDelay = 3_600_000;

/**
 * Decides what stays. Beyond the rules these stay: held points, ones that are being read, and locked ones; the newest, and the newest verified; points that a
 * replica still lacks, up to the cap; points dated in the future; what another policy keeps, to which it belongs as well.
 *
 * A claimed time can't be trusted at a replica, since whoever owns the host can forge it. A point dated in the future takes
 * part in no rule, so it can't use up a slot. Points dated in the past could push a whole year's genuine ones out, each
 * from its slot; so where receipt times are known, the rules are applied twice, by the time claimed and by the time
 * received, and only what *both* give up is removed. What arrives late by itself, after days without a connection,
 * keeps its places by the first view; what arrived in its time, by the second. The newest stays by its claimed time, too:
 * a forger gains one point by that, and pushes out none.
 */
export function retain(
  points: readonly RetainPoint[],
  rules: KeepRules,
  clock: RetentionClock,
  cap: UnreplicatedCap,
): Retention {
  const reasons = new Map<string, Set<string>>(points.map(({ id }) => [id, new Set()]));
  const keep = (id: string, reason: string): void => void reasons.get(id)?.add(reason);

  const inFuture = (point: RetainPoint): boolean => !(point.time <= clock.now + tolerance);
  for (const point of points.filter(inFuture)) keep(point.id, "dated in the future");

  const dated = points.filter((point) => !inFuture(point));
  for (const { id, reason } of judge(claimedView(dated), rules, clock)) keep(id, reason);
  if (points.some(({ received }) => received !== undefined)) {
    for (const { id, reason } of judge(receivedView(dated), rules, clock)) {
      if (reasons.get(id)?.has(reason) !== true) keep(id, `${reason} by receipt`);
    }
  }
  // Where a replica's clock is behind, all that comes stands in the past by receipt, and would be forgotten as it comes.
  const [latest] = newestFirst(dated);
  if (latest !== undefined) keep(latest.id, "newest");
  for (const { id, held } of points) if (held === true) keep(id, "held");

  const others = points.filter(({ id, keptBy = [] }) => keptBy.length > 0 && reasons.get(id)?.size === 0);
  for (const { id, keptBy = [] } of others) keep(id, `kept by ${keptBy.join(", ")}`);

  const passing = points.filter(({ id }) => reasons.get(id)?.size === 0).map(({ id }) => id);
  for (const { id, readUntil = 0, lockedUntil = 0 } of points) {
    if (readUntil > clock.now) keep(id, "being read");
    if (lockedUntil > clock.now) keep(id, `locked until ${minuteOf(lockedUntil)}`);
  }

  const unreplicated = newestFirst(dated).filter(
    ({ id, missingAt }) => (missingAt?.length ?? 0) > 0 && reasons.get(id)?.size === 0,
  );
  const protectedOnes = unreplicated.filter(({ time }) => clock.now - time <= cap.age).slice(0, cap.count);
  for (const { id, missingAt } of protectedOnes) keep(id, `not yet at ${(missingAt ?? []).join(", ")}`);

  const decision = collect(points, reasons);
  const gone = new Set(decision.remove);
  const givenUp = unreplicated.map(({ id }) => id).filter((id) => gone.has(id));
  return { ...decision, givenUp, deferred: passing.filter((id) => !gone.has(id)), shared: others.map(({ id }) => id) };
}

/** `2026-12-26 00:00 UTC`. */
function minuteOf(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** What the rules keep of `points` by the times given, and the newest ones, which nothing removes. */
function judge(
  points: readonly RetainPoint[],
  rules: KeepRules,
  clock: RetentionClock,
): { id: string; reason: string }[] {
  const kept = applyRules(points, rules, clock).keep.flatMap(({ id, reasons }) =>
    reasons.map((reason) => ({ id, reason })),
  );
  const [newest] = newestFirst(points);
  const proven = newestFirst(points).find(({ verified }) => verified === true);
  if (newest !== undefined) kept.push({ id: newest.id, reason: "newest" });
  if (proven !== undefined) kept.push({ id: proven.id, reason: "newest verified" });
  return kept;
}

/** By the time claimed; but nothing was captured after it was received, whatever it claims. */
function claimedView(points: readonly RetainPoint[]): RetainPoint[] {
  return points.map((point) => ({ ...point, time: Math.min(point.time, point.received ?? point.time) }));
}

/** By the time received, unless the time claimed lies so little before it that it must be honest, or hardly matters. */
function receivedView(points: readonly RetainPoint[]): RetainPoint[] {
  return claimedView(points).map((point) => {
    const late = point.received !== undefined && point.received - point.time > usualDelay;
    return late ? { ...point, time: point.received } : point;
  });
}

function collect(points: readonly Point[], reasons: Map<string, Set<string>>): Decision {
  const keep: Kept[] = [];
  const remove: string[] = [];
  for (const { id } of newestFirst(points)) {
    const why = [...(reasons.get(id) ?? [])];
    if (why.length > 0) keep.push({ id, reasons: why });
    else remove.push(id);
  }
  return { keep, remove };
}
