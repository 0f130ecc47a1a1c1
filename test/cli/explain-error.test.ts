import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { explainError } from "../../src/cli/explain-error.ts";
import { errorTable, StillpointError } from "../../src/errors.ts";

const plain = { environment: {}, debug: false };

test("what happened, what is safe, what to do: a line each, and the code's exit status", () => {
  const error = new StillpointError("busy", { what: "Cannot X", safe: "Nothing was changed.", next: "Try Y." });
  expect(explainError(error, plain)).toEqual({
    text: "stillpoint: Cannot X.\nNothing was changed.\nTry Y.",
    exit: errorTable.busy.exit,
  });
});

test("problems of a configuration begin with their place, so that editors find it", () => {
  const error = new StillpointError("config_invalid", {
    what: "a.yaml:1:2: wrong\n  x\n  ^\n\nCannot use a.yaml: 1 problem",
  });
  expect(explainError(error, plain).text).toMatch(/^a\.yaml:1:2: wrong\n/);
});

describe("a defect", () => {
  const defect = new Error("undefined is not a function", { cause: new Error("deeper") });

  test("is said to be one, without a stack", () => {
    const { text, exit } = explainError(defect, plain);
    expect(exit).toBe(1);
    expect(text).toMatch(/defect in Stillpoint: undefined is not a function\..*\n.*untouched.*\n.*STILLPOINT_DEBUG=1/);
    expect(text).not.toContain("    at ");
  });

  test("with STILLPOINT_DEBUG=1 shows where it is, and where its cause is", () => {
    const { text } = explainError(defect, { ...plain, debug: true });
    expect(text).toMatch(/undefined is not a function\n {4}at /);
    expect(text).toMatch(/deeper\n {4}at /);
  });
});

test("what the system refuses isn't called a defect", async () => {
  const error: unknown = await readFile("/nowhere").catch((thrown: unknown) => thrown);
  expect(explainError(error, plain).text).toContain("the system refused: ENOENT");
});

test("whatever is thrown is explained", () => {
  for (const thrown of ["text", undefined, null, 7, {}]) expect(explainError(thrown, plain).exit).toBe(1);
});

test("secrets of the environment stay out of it", () => {
  const error = new StillpointError("command_failed", { what: "Cannot run it: wrong password hunter2hunter2" });
  const { text } = explainError(error, { environment: { PGPASSWORD: "hunter2hunter2" }, debug: false });
  expect(text).toContain("wrong password [redacted]");
});

test("names and the words of programs steer no terminal", async () => {
  const evil = "\u001b]0;yours\u0007\u001b[2J\u009b31m\u202e\u2028";
  const error = new StillpointError("damaged", { what: `Cannot read ${evil}`, safe: evil, next: `two\nlines ${evil}` });
  const system: unknown = await readFile(`/nowhere/${evil}`).catch((thrown: unknown) => thrown);
  for (const thrown of [error, system, new Error(evil)]) {
    const { text } = explainError(thrown, { ...plain, debug: true });
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(text).toContain("\\u{1b}]0;yours\\u{7}");
  }
  expect(error.message).not.toContain("\u001b");
  expect(error.message).toContain("two\nlines");
});
