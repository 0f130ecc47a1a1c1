import { expect, it } from "vitest";
import { policiesAtReplicas } from "../../src/daemon/status.ts";
import { loadConfig } from "../../src/policy/load.ts";

const config = loadConfig(
  `
version: 1
repository: { path: /srv/repository, key_file: /srv/key }
replicas:
  town: { path: /mnt/town }
  vault: { s3: { endpoint: "https://s3.example.net", bucket: recovery, credentials_file: s3 }, object_lock: compliance }
sources: { docs: { directory: { path: /docs } } }
policies:
  often:
    sources: [docs]
    schedule: { rpo: 1h }
    keep: { last: 2 }
    replicate: { town: {}, vault: { from: town, lock: 30d } }
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
  ]);
});
