import { expect, it } from "vitest";
import { SingleFlight } from "../../src/job/single-flight.ts";

/** Work that ends when it is told to. */
function slow() {
  const started = Promise.withResolvers<undefined>();
  const { promise, resolve: end, reject: fail } = Promise.withResolvers<string>();
  const work = async (): Promise<string> => {
    started.resolve(undefined);
    return await promise;
  };
  return { work, begun: started.promise, end, fail };
}

const done = (result: string) => async () => await Promise.resolve(result);

it("does what is asked for meanwhile afterwards, once, and as it was asked last", async () => {
  const flights = new SingleFlight<string>();
  const one = slow();
  const first = flights.run("a", one.work);
  expect(await flights.run("a", done("never"))).toBeUndefined();
  expect(await flights.run("a", done("last"))).toBeUndefined();
  expect(await flights.run("b", done("other"))).toEqual(["other"]);
  one.end("first");
  expect(await first).toEqual(["first", "last"]);
  expect(await flights.run("a", done("again"))).toEqual(["again"]);
});

it("ends after that, and whoever asked last goes on", async () => {
  const flights = new SingleFlight<string>();
  const [one, two, three] = [slow(), slow(), slow()];
  const first = flights.run("a", one.work);
  expect(await flights.run("a", two.work)).toBeUndefined();
  one.end("first");
  await two.begun;
  const sentAway = flights.run("a", done("never"));
  const heir = flights.run("a", three.work);
  expect(await sentAway).toBeUndefined();
  two.end("second");
  // Between the end of one and the beginning of the other, nobody else can begin.
  const after = async (): Promise<string[] | undefined> => {
    await first;
    return await flights.run("a", done("fourth"));
  };
  const between = after();
  expect(await first).toEqual(["first", "second"]);
  await three.begun;
  expect(await between).toBeUndefined();
  three.end("third");
  expect(await heir).toEqual(["third", "fourth"]);
  expect(await flights.run("a", done("again"))).toEqual(["again"]);
});

it("is free again after a failure, for who waits too", async () => {
  const flights = new SingleFlight<string>();
  await expect(flights.run("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  const [one, two] = [slow(), slow()];
  const first = flights.run("a", one.work);
  expect(await flights.run("a", two.work)).toBeUndefined();
  one.end("first");
  await two.begun;
  const heir = flights.run("a", done("heir"));
  two.fail(new Error("no"));
  await expect(first).rejects.toThrow("no");
  expect(await heir).toEqual(["heir"]);
});
