import { expect, test } from "vitest";
import { openProgramPipe } from "../../src/host/program-pipe.ts";
import { collect } from "../helpers/collect.ts";

test("what is written comes to the program, and what it says comes back", async () => {
  const pipe = openProgramPipe(["tr", "a-z", "A-Z"]);
  const said = collect(pipe.output as AsyncIterable<Buffer>);
  pipe.input.write("hello ");
  pipe.input.end("there");
  expect(Buffer.concat(await said).toString()).toBe("HELLO THERE");
  expect(await pipe.ended).toEqual({ status: 0, how: "it ended with exit status 0", words: "" });
});

test("how it ended is told with its last words, without secrets of the environment", async () => {
  const pipe = openProgramPipe(["sh", "-c", 'echo first >&2; echo "no $API_TOKEN" >&2; exit 7'], {
    API_TOKEN: "hunter2hunter2",
  });
  pipe.output.resume();
  expect(await pipe.ended).toEqual({ status: 7, how: "it ended with exit status 7", words: "first / no [redacted]" });
});

test("a program that isn't there is an end like any other", async () => {
  const pipe = openProgramPipe(["/nowhere/at-all"]);
  pipe.output.resume();
  pipe.input.write("into the void");
  expect((await pipe.ended).how).toContain("there is no such program");
});

test("one that doesn't care that its input has ended is ended, with what it has started", async () => {
  const pipe = openProgramPipe(["sh", "-c", "sleep 600 & sleep 600; wait"]);
  pipe.output.resume();
  pipe.close();
  expect(await pipe.ended).toMatchObject({ status: undefined, how: "it was ended by SIGTERM" });
});

test("it has no terminal to ask questions at", async () => {
  const pipe = openProgramPipe(["sh", "-c", ": </dev/tty"]);
  pipe.output.resume();
  expect((await pipe.ended).status).not.toBe(0);
});
