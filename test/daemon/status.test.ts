import { expect, it } from "vitest";
import type { Failure } from "../../src/daemon/failure-log.ts";
import { failuresOf, policiesAtReplicas } from "../../src/daemon/status.ts";
import { loadConfig } from "../../src/policy/load.ts";

const config = loadConfig(
  `
version: 1
repository: { path: /srv/repository, key_file: /srv/key }
replicas:
  town: { path: /mnt/town }
  attic: { path: /mnt/attic, append_only: true }
  vault: { s3: { endpoint: "https://s3.example.net", bucket: recovery, credentials_file: s3 }, object_lock: compliance }
sources: { docs: { directory: { path: /docs } } }
policies:
  often:
    sources: [docs]
    schedule: { rpo: 1h }
    keep: { last: 2 }
    replicate: { town: {}, vault: { from: town, lock: 30d } }
  seldom: { sources: [docs], schedule: { rpo: 24h }, keep: { last: 2 }, replicate: { attic: {} } }
`,
  "stillpoint.yaml",
);

it("tells of each policy at each replica where its points come from, and what isn't locked where it is to be", () => {
  const monitor = { unlocked: () => 3 };
  // No more of each part than is looked at.
  const sources = { configFile: { config }, monitor } as unknown as Parameters<typeof policiesAtReplicas>[0];
  expect(policiesAtReplicas(sources)).toEqual([
    { policy: "often", location: "town", from: "primary", unlocked: undefined },
    { policy: "often", location: "vault", from: "town", unlocked: 3 },
    { policy: "seldom", location: "attic", from: "primary", unlocked: undefined },
  ]);
});

it("shows no failure of work that the configuration doesn't have any more: it would never be over", () => {
  const failed = (stage: Failure["stage"], names: Pick<Failure, "policy" | "source" | "location">): Failure => ({
    stage,
    ...names,
    errors: [],
    first: 1,
    last: 1,
    count: 1,
  });
  const current = [
    failed("capture", { policy: "often", source: "docs" }),
    failed("replication", { policy: "often", location: "town" }),
    failed("replication", { policy: "seldom", location: "attic" }),
    failed("prune", { policy: "often", location: "primary" }),
    failed("prune", { policy: "often", location: "vault" }),
    failed("sweep", { location: "primary" }),
    failed("sweep", { location: "town" }),
    failed("check", { location: "attic" }),
  ];
  const gone = [
    failed("capture", { policy: "often", source: "photos" }),
    failed("capture", { policy: "never", source: "docs" }),
    failed("replication", { policy: "often", location: "attic" }),
    failed("prune", { policy: "seldom", location: "attic" }),
    failed("prune", { policy: "seldom", location: "town" }),
    failed("sweep", { location: "attic" }),
    failed("check", { location: "cellar" }),
  ];
  const sources = { configFile: { config }, failureLog: { failures: [...gone, ...current] } };
  expect(failuresOf(sources as unknown as Parameters<typeof failuresOf>[0], [])).toEqual(current);
});
