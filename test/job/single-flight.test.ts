import { expect, it } from "vitest";
import { SingleFlight } from "../../src/job/single-flight.ts";

it("does what is asked for meanwhile afterwards, once, and as it was asked last", async () => {
  const flights = new SingleFlight();
  const { promise, resolve } = Promise.withResolvers<string>();
  const first = flights.run("a", () => promise);
  expect(await flights.run("a", () => Promise.resolve("never"))).toBeUndefined();
  expect(await flights.run("a", () => Promise.resolve("last"))).toBeUndefined();
  expect(await flights.run("b", () => Promise.resolve("other"))).toEqual(["other"]);
  resolve("first");
  expect(await first).toEqual(["first", "last"]);
  expect(await flights.run("a", () => Promise.resolve("again"))).toEqual(["again"]);
});

it("is free again after a failure", async () => {
  const flights = new SingleFlight();
  await expect(flights.run("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await flights.run("a", () => Promise.resolve(1))).toEqual([1]);
});
