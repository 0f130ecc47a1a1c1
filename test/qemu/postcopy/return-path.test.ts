import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StillpointError } from "../../../src/errors.ts";
import { type ReturnMessage, ReturnPath } from "../../../src/qemu/postcopy/return-path.ts";
import { counted, u } from "../../helpers/migration-stream.ts";

function message(type: number, ...body: Buffer[]): Buffer {
  const all = Buffer.concat(body);
  return Buffer.concat([Buffer.of(0, type), Buffer.of(all.length >> 8, all.length & 255), all]);
}

const requestIn = (block: string, offset: number, length: number): Buffer =>
  message(3, u(8, offset), u(4, length), counted(block));
const request = (offset: number, length: number): Buffer => message(4, u(8, offset), u(4, length));

function parse(...chunks: Buffer[]): ReturnMessage[] {
  const path = new ReturnPath();
  return chunks.flatMap((chunk) => [...path.take(chunk)]);
}

/** The code of the error with which it ends, if it does. */
function endOf(pieces: readonly Buffer[]): unknown {
  try {
    return parse(...pieces).every(({ type }) => ["shut", "pong", "request"].includes(type)) && "understood";
  } catch (error) {
    return error instanceof StillpointError ? error.code : error;
  }
}

const conversation = Buffer.concat([
  message(2, u(4, 3)),
  requestIn("pc.ram", 0x1_0000_0000, 4096),
  request(8192, 4096),
  requestIn("rom", 0, 8192),
  request(4096, 4096),
  message(1, u(4, 0)),
]);

const understood: ReturnMessage[] = [
  { type: "pong", number: 3 },
  { type: "request", block: "pc.ram", offset: 0x1_0000_0000, length: 4096 },
  { type: "request", block: "pc.ram", offset: 8192, length: 4096 },
  { type: "request", block: "rom", offset: 0, length: 8192 },
  { type: "request", block: "rom", offset: 4096, length: 4096 },
  { type: "shut", status: 0 },
];

describe("the return path", () => {
  test("is understood, as bytes on the wire and in the order they came", () => {
    expect(
      parse(Buffer.from("0003 0013 0000000100000000 00001000 06 70632e72616d".replaceAll(" ", ""), "hex")),
    ).toEqual(understood.slice(1, 2));
    expect(parse(conversation)).toEqual(understood);
  });

  test("is understood wherever it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(conversation.length)), (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), conversation.length];
        const chunks = places.slice(1).map((end, index) => conversation.subarray(places[index], end));
        expect(parse(...chunks)).toEqual(understood);
      }),
    );
  });

  test.each([
    ["a kind that isn't known", message(9, u(4, 0))],
    ["a bitmap that nobody has asked for", message(5, counted("pc.ram"))],
    ["a pong of another length", message(2, u(8, 3))],
    ["a page of no block", request(0, 4096)],
    ["a name that is longer than its message", message(3, u(8, 0), u(4, 4096), Buffer.from("\x07pc.ram"))],
    ["a name that is shorter", message(3, u(8, 0), u(4, 4096), Buffer.from("\x05pc.ram"))],
    ["an address beyond all numbers", message(3, Buffer.alloc(8, 0xff), u(4, 4096), counted("pc.ram"))],
  ])("ends with %s", (_, bytes) => {
    expect(() => parse(bytes)).toThrow("QEMU can't be given the machine's memory");
  });

  test("takes any bytes at all without another error than that", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), fc.nat(conversation.length), (chunks, start) => {
        const pieces = [conversation.subarray(start), ...chunks.map((chunk) => Buffer.from(chunk))];
        expect(endOf(pieces)).toBeOneOf(["understood", "boot_failed"]);
      }),
    );
  });
});
