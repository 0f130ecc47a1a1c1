/** When the next run of a policy starts. Pure: the daemon ticks by its own clock and asks. */

import { createHash } from "node:crypto";
import type { Blackout } from "./blackout.ts";
import { blackoutAt } from "./blackout.ts";
import { nextCronTime } from "./cron.ts";

interface Windows {
  /** IANA time zone of the expression, the windows, and the policy's retention rules. */
  readonly timezone: string;
  readonly blackout: readonly Blackout[];
}

/** At the times of a cron expression. */
export interface CronSchedule extends Windows {
  readonly kind: "cron";
  readonly cron: string;
  /** Each run starts later by a part of this, in ms, always the same part for the same policy. */
  readonly jitter: number;
  /** What becomes of a run whose time passed while nothing could start: made up for once, or left out. */
  readonly missed: "run" | "skip";
}

/** Early enough that the newest recovery point never gets older than `rpo`. */
export interface RpoSchedule extends Windows {
  readonly kind: "rpo";
  /** In ms. */
  readonly rpo: number;
}

/** Only when someone asks for it. */
export interface ManualSchedule extends Windows {
  readonly kind: "manual";
}

export type Schedule = CronSchedule | RpoSchedule | ManualSchedule;

/** What is known about earlier runs. Times in ms since the epoch, durations in ms. */
export interface RunHistory {
  /** When the last run started, whatever became of it. After a restart: the instant of the newest recovery point. */
  readonly lastStarted?: number | undefined;
  /** The instant of the newest committed recovery point; with several sources, of the one that is furthest behind. */
  readonly lastPoint?: number | undefined;
  /** From start to commit, of the last few runs that succeeded. */
  readonly durations?: readonly number[] | undefined;
}

/** A run noticed this late is still on time: ticks, queues and clock corrections take a moment. */
const punctual = 60_000;
/** Blackout windows that hide a run one after the other before it is given up. */
const attempts = 500;

/**
 * The instant at which the next run of `policy` should start; one that isn't after `now` means at once, and tells how
 * late it is. Undefined when it never starts by itself.
 *
 * A cron run that falls into a blackout, or whose time passed while the daemon was down, is one missed run: with
 * `missed: run` it starts as soon as it may, once however many were missed; with `skip` the next one counts. A policy
 * that has never run counts as missed.
 */
export function nextRun(schedule: Schedule, policy: string, now: number, history: RunHistory = {}): number | undefined {
  switch (schedule.kind) {
    case "cron":
      return nextByCron(schedule, policy, now, history);
    case "rpo":
      return nextByRpo(schedule, now, history);
    case "manual":
      return undefined;
  }
}

function nextByCron(schedule: CronSchedule, policy: string, now: number, history: RunHistory): number | undefined {
  const shift = jitterOf(policy, schedule.jitter);
  // A clock that was ahead must not silence the policy until it is right again.
  const lastStarted = history.lastStarted === undefined ? undefined : Math.min(history.lastStarted, now);
  if (schedule.missed === "skip") {
    return startAfter(schedule, shift, Math.max(lastStarted ?? 0, now - punctual));
  }
  const due = lastStarted === undefined ? now : startAfter(schedule, shift, lastStarted);
  if (due === undefined || due > now) return due;
  return blackoutAt(schedule.blackout, schedule.timezone, now)?.end ?? due;
}

/** The first start after `after`, with jitter and blackouts. */
function startAfter(schedule: CronSchedule, shift: number, after: number): number | undefined {
  const { cron, timezone, blackout, missed } = schedule;
  const dueAfter = (time: number): number | undefined => {
    const due = nextCronTime(cron, timezone, time - shift);
    return due === undefined ? undefined : due + shift;
  };
  let due = dueAfter(after);
  for (let attempt = 0; attempt < attempts && due !== undefined; attempt++) {
    const window = blackoutAt(blackout, timezone, due);
    if (window === undefined) return due;
    if (missed === "run") return window.end;
    due = dueAfter(window.end - 1);
  }
  return undefined;
}

/**
 * The age counts from the instant captured to the commit of the *next* point, so a run must start its own duration
 * before the objective is reached: one and a half times the longest of the last ones, a tenth of the objective at least.
 */
function nextByRpo(schedule: RpoSchedule, now: number, history: RunHistory): number {
  const { rpo, blackout, timezone } = schedule;
  const tenth = rpo / 10;
  const lead = Math.min(Math.max(tenth, 1.5 * Math.max(0, ...(history.durations ?? []))), rpo);
  const due = history.lastPoint === undefined ? now : history.lastPoint + rpo - lead;
  // A run that fails at once, or an objective that can't be met, must not make a loop.
  const earliest = history.lastStarted === undefined ? due : Math.min(history.lastStarted, now) + tenth;
  const start = Math.max(due, earliest);

  const window = blackoutAt(blackout, timezone, Math.max(start, now));
  if (window === undefined) return start;
  // Just before the window rather than after it, when there is still time for that.
  const before = Math.max(Math.floor(window.start - Math.min(tenth, punctual)), now, earliest);
  return before < window.start ? before : window.end;
}

/** A part of `jitter` in ms that is always the same for a policy, and as good as random among policies. */
export function jitterOf(policy: string, jitter: number): number {
  if (jitter === 0) return 0;
  const draw = createHash("sha256").update(policy).digest().readUInt32BE() / 2 ** 32;
  return Math.floor(draw * jitter);
}
