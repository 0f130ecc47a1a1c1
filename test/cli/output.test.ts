import { describe, expect, test } from "vitest";
import { Output, OutputClosed } from "../../src/cli/output.ts";

function outputOn(environment: Record<string, string>, isTTY = true) {
  let fail: (error: Error) => void = () => undefined;
  const stream = {
    isTTY,
    columns: 100,
    write: (_: unknown, done?: () => void) => {
      done?.();
      return true;
    },
    on: (_: "error" | "resize", listener: (error: Error) => void) => (fail = listener),
    off: () => undefined,
  };
  const stderr = { ...stream, on: () => undefined };
  return { output: new Output({ stdout: stream, stderr, environment }), fail: (error: Error) => fail(error) };
}

describe("colour", () => {
  test("on a terminal", () => expect(outputOn({}).output.style("bold", "x")).toBe("\u001B[1mx\u001B[22m"));
  test("not elsewhere", () => expect(outputOn({}, false).output.style("bold", "x")).toBe("x"));
  test("not with NO_COLOR", () => expect(outputOn({ NO_COLOR: "1" }).output.style("bold", "x")).toBe("x"));
  test("an empty NO_COLOR is none", () => expect(outputOn({ NO_COLOR: "" }).output.style("bold", "x")).not.toBe("x"));
  test("not on a dumb terminal", () => expect(outputOn({ TERM: "dumb" }).output.style("bold", "x")).toBe("x"));
});

test("tables are cut for a terminal only", () => {
  expect(outputOn({}).output.width).toBe(100);
  expect(outputOn({}, false).output.width).toBeUndefined();
});

test("a reader that has gone ends the verb, and isn't a failure", async () => {
  const { output, fail } = outputOn({});
  output.print("first");
  fail(Object.assign(new Error("write EPIPE"), { code: "EPIPE", syscall: "write" }));
  expect(() => output.print("second")).toThrow(OutputClosed);
  await expect(output.write(Buffer.from("third"))).rejects.toThrow(OutputClosed);
});

test("any other failure to print is one", () => {
  const { output, fail } = outputOn({});
  fail(Object.assign(new Error("no space left on device"), { code: "ENOSPC", syscall: "write" }));
  expect(() => output.print("second")).toThrow("no space left on device");
});
