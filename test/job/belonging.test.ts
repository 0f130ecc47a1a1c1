import fc from "fast-check";
import { expect, it } from "vitest";
import { belongsTo, otherHeirs } from "../../src/job/belonging.ts";
import type { Policy } from "../../src/policy/config.ts";

function policy(name: string, ...sources: string[]): Policy {
  return { name, sources: sources.map((source) => ({ name: source })) } as unknown as Policy;
}

function replicating(one: Policy, ...replicas: string[]): Policy {
  return { ...one, replicate: replicas.map((name) => ({ replica: { name } })) } as unknown as Policy;
}

const hourly = policy("hourly", "db", "www");
const daily = policy("daily", "db");

it("gives a point to the policy that captured it, and to no other that has the source", () => {
  const point = { source: "db", policy: "daily" };
  expect(belongsTo([hourly, daily], daily)(point)).toBe(true);
  expect(belongsTo([hourly, daily], hourly)(point)).toBe(false);
});

it("gives the points of a policy that was renamed, or gave the source away, to those that have the source now", () => {
  expect(belongsTo([hourly, daily], hourly)({ source: "db", policy: "nightly" })).toBe(true);
  expect(belongsTo([hourly, daily], daily)({ source: "db", policy: "nightly" })).toBe(true);
  expect(belongsTo([hourly, daily], hourly)({ source: "www", policy: "daily" })).toBe(true);
});

it("names the other heirs of points of a policy that is gone, where they prune", () => {
  const [often, seldom] = [replicating(hourly, "far"), replicating(daily, "vault")];
  const namesAt = (location: string, ...points: { source: string; policy: string }[]): string[] =>
    otherHeirs([often, seldom], { policy: often, location }, points).map(({ name }) => name);
  const gone = { source: "db", policy: "nightly" };
  expect(namesAt("primary", gone)).toEqual(["daily"]);
  expect(namesAt("far", gone)).toEqual([]);
  expect(namesAt("vault", gone)).toEqual(["daily"]);
  expect(namesAt("primary", { source: "db", policy: "hourly" }, { source: "www", policy: "nightly" })).toEqual([]);
});

it("leaves no point of a source that some policy has without an owner, and gives no other to anybody", () => {
  const names = fc.constantFrom("a", "b", "c", "d");
  const policies = fc.uniqueArray(fc.tuple(names, fc.uniqueArray(names, { minLength: 1 })), {
    selector: ([name]) => name,
  });
  fc.assert(
    fc.property(policies, names, names, (described, source, by) => {
      const all = described.map(([name, sources]) => policy(name, ...sources));
      const owners = all.filter((one) => belongsTo(all, one)({ source, policy: by }));
      const protecting = all.filter(({ sources }) => sources.some(({ name }) => name === source));
      expect(owners.length > 0).toBe(protecting.length > 0);
      expect(owners.every((owner) => protecting.includes(owner))).toBe(true);
    }),
  );
});
