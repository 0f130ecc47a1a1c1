import type { DaemonStatus, History, PointStatus } from "../../src/daemon/control-protocol.ts";

/** The moment of every status made here. */
export const statusTime = Date.UTC(2026, 10, 22, 12);

const minute = 60_000;

export function madePoint(over: Partial<PointStatus> = {}): PointStatus {
  return {
    policy: "often",
    source: "docs",
    location: "primary",
    newest: {
      id: "3f5a91c2000000000000000000000000",
      time: statusTime - 10 * minute,
      consistency: "crash",
      size: 4096,
      stored: 1024,
      leftOut: 0,
      duration: 2000,
    },
    verified: undefined,
    objective: 60 * minute,
    ...over,
  };
}

/** A daemon that is well: one policy, one source, one location. */
export function madeStatus(over: Partial<DaemonStatus> = {}): DaemonStatus {
  return {
    version: "1.2.3",
    host: "atlas",
    pid: 1,
    now: statusTime,
    started: statusTime - 90 * minute,
    address: "http://127.0.0.1:9464",
    config: { file: "/etc/stillpoint/stillpoint.yaml", current: true, loaded: statusTime, error: undefined },
    notReady: [],
    work: [],
    failures: [],
    maintenance: { nextSweep: statusTime + 60 * minute, nextCheck: undefined },
    policies: [
      {
        policy: "often",
        sources: ["docs"],
        running: false,
        nextRun: statusTime + 14 * minute,
        lag: undefined,
        lastJob: undefined,
      },
    ],
    points: [madePoint()],
    locations: [
      {
        location: "primary",
        reachable: true,
        checked: statusTime,
        error: undefined,
        points: [{ source: "docs", count: 3 }],
        sizeBytes: 10_240,
        freeBytes: 1_048_576,
        lastSweep: undefined,
        lastCheck: undefined,
        findings: undefined,
        backlog: [],
        replications: [],
      },
    ],
    notifications: [],
    ...over,
  };
}

export const madeHistory: History = {
  time: statusTime,
  unread: [],
  timelines: [
    {
      policy: "often",
      source: "docs",
      location: "primary",
      count: 3,
      verified: 1,
      held: 1,
      marks: [10, 70, 400].map((minutes, number) => {
        const time = statusTime - minutes * minute;
        return { id: "3f5a91c2", from: time, to: time, count: 1, verified: number % 2, held: number % 2 };
      }),
      gaps: [{ from: statusTime - 340 * minute, to: statusTime - 70 * minute }],
    },
  ],
  prunes: [
    {
      policy: "often",
      source: "docs",
      location: "primary",
      time: statusTime + 14 * minute,
      rules: "last 3",
      keep: 2,
      reasons: [{ reason: "last", count: 2 }],
      remove: 1,
      oldest: [{ id: "77aa22bb00000000", time: statusTime - 400 * minute }],
      givenUp: 0,
      deferred: 0,
      heldBack: false,
    },
  ],
  sizes: [
    {
      location: "primary",
      samples: [
        { time: statusTime - 60 * minute, bytes: 5000 },
        { time: statusTime, bytes: 10_240 },
      ],
    },
  ],
};
