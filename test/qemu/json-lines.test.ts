import fc from "fast-check";
import { expect, test } from "vitest";
import { JsonLines } from "../../src/qemu/json-lines.ts";

test("objects come out as they went in, wherever the stream is cut", () => {
  const message = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }));
  fc.assert(
    fc.property(fc.array(message), fc.array(fc.nat({ max: 40 }), { minLength: 1 }), (messages, cuts) => {
      const bytes = Buffer.from(messages.map((one) => `${JSON.stringify(one)}\r\n`).join(""));
      const lines = new JsonLines();
      const got: unknown[] = [];
      const buffer = Buffer.alloc(64);
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const length = Math.max(1, cuts[turn % cuts.length] ?? 1);
        // Always through the same memory: nothing may be kept that lies in it.
        const filled = bytes.copy(buffer, 0, at, at + length);
        got.push(...lines.take(buffer.subarray(0, filled)));
        at += filled;
      }
      expect(JSON.stringify(got)).toBe(
        JSON.stringify(messages.map((one) => JSON.parse(JSON.stringify(one)) as unknown)),
      );
    }),
  );
});

test("a line may be as long as the limit, and no longer, whether or not its end has come", () => {
  const limit = 10;
  expect([...new JsonLines(limit).take(Buffer.from('{"a": 123}\n'))]).toEqual([{ a: 123 }]);
  expect(() => [...new JsonLines(limit).take(Buffer.from('{"a": 1234}\n'))]).toThrow("longer than 10 bytes");
  const lines = new JsonLines(limit);
  expect([...lines.take(Buffer.from("123456"))]).toEqual([]);
  expect(() => [...lines.take(Buffer.from("78901"))]).toThrow("longer than 10 bytes");
});

test.each(["garbage", "{", '{"a":1}x', "1", "null", "[]", '"text"', "\u0000"])("%j is refused", (line) => {
  expect(() => [...new JsonLines().take(Buffer.from(`${line}\n`))]).toThrow(/isn't (a )?JSON/);
});

test("any bytes at all give objects or an error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(outcome(Buffer.from(bytes))).toMatch(/^(objects|Error: a line isn't)/);
    }),
  );
});

function outcome(bytes: Buffer): string {
  try {
    return [...new JsonLines().take(bytes)].every((one) => typeof one === "object") ? "objects" : "something else";
  } catch (error) {
    return String(error);
  }
}
