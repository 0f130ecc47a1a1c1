import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { string, u32, u64 } from "../../../../src/host/big-endian.ts";
import { attributes, Fields } from "../../../../src/storage/drivers/sftp/fields.ts";
import { PacketReader } from "../../../../src/storage/drivers/sftp/packet-reader.ts";
import { longestPacket, Violation } from "../../../../src/storage/drivers/sftp/protocol.ts";
import { portions } from "../../../../src/storage/drivers/sftp/transfer.ts";

const framed = (body: Uint8Array): Buffer => Buffer.concat([u32(body.length), body]);

/** What comes out when the stream arrives in chunks that end at `cuts`. */
function read(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const reader = new PacketReader();
  const packets: Buffer[] = [];
  const ends = [...cuts.map((cut) => cut % (stream.length + 1)), stream.length].sort((a, b) => a - b);
  let at = 0;
  for (const end of ends) {
    for (const packet of reader.take(stream.subarray(at, end))) packets.push(Buffer.from(packet));
    at = end;
  }
  return packets;
}

describe("PacketReader", () => {
  test("gives the packets, wherever the chunks end", () => {
    const bodies = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 8 });
    fc.assert(
      fc.property(bodies, fc.array(fc.nat(), { maxLength: 20 }), (packets, cuts) => {
        expect(read(Buffer.concat(packets.map(framed)), cuts)).toEqual(packets.map((packet) => Buffer.from(packet)));
      }),
    );
  });

  test("takes the longest packet, and none that is longer or empty", () => {
    const longest = Buffer.alloc(longestPacket, 7);
    expect(read(framed(longest), [])[0]?.equals(longest)).toBe(true);
    for (const length of [0, longestPacket + 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(() => [...new PacketReader().take(u32(length))]).toThrow(Violation);
    }
  });

  test("knows text when it sees it", () => {
    expect(() => [...new PacketReader().take(Buffer.from("Welcome to host7!\n"))]).toThrow('it sent text ("Welc"…)');
  });

  test("whatever comes, it gives packets or a violation", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          return read(Buffer.from(bytes), [3, 77]).every((packet) => packet.length <= bytes.length);
        } catch (error) {
          return error instanceof Violation;
        }
      }),
    );
  });
});

describe("Fields", () => {
  test("gives what was put in", () => {
    const fields = new Fields(Buffer.concat([u32(7), u64(2 ** 40 + 1), string("ä"), attributes(0o600), attributes()]));
    expect([fields.u32(), fields.u64(), fields.text()]).toEqual([7, 2 ** 40 + 1, "ä"]);
    expect(fields.attributes()).toEqual({ size: undefined, mode: 0o600, time: undefined });
    expect(fields.attributes()).toEqual({ size: undefined, mode: undefined, time: undefined });
    expect(fields.left).toBe(0);
  });

  test("attributes of every kind are passed over in the right places", () => {
    const extended = [u32(2), ...["a", "b", "c", "d"].map(string)];
    const all = Buffer.concat([u32(0x8000000f), u64(5), u32(1), u32(2), u32(0o100644), u32(10), u32(20), ...extended]);
    const fields = new Fields(Buffer.concat([all, u32(99)]));
    expect(fields.attributes()).toEqual({ size: 5, mode: 0o100644, time: 20 });
    expect(fields.u32()).toBe(99);
  });

  test("a packet that ends too early is a violation, never a short field", () => {
    const whole = Buffer.concat([
      string("handle"),
      u32(0x8000000f),
      u64(1),
      u64(2),
      u32(3),
      u64(4),
      u32(1),
      string("x"),
      string("y"),
    ]);
    for (let length = 0; length < whole.length; length++) {
      const fields = new Fields(whole.subarray(0, length));
      expect(() => [fields.text(), fields.attributes()]).toThrow(Violation);
    }
    // A count and a length that no packet could hold.
    expect(() => new Fields(Buffer.concat([u32(0x80000000), u32(2 ** 32 - 1)])).attributes()).toThrow(Violation);
    expect(() => new Fields(u32(2 ** 32 - 1)).bytes()).toThrow(Violation);
  });
});

test("portions are the pieces, in order and complete, each as long as it may be", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 10 });
  fc.assert(
    fc.property(pieces, fc.integer({ min: 1, max: 25 }), (data, longest) => {
      const found = [...portions(data, longest)];
      const whole = Buffer.concat(data);
      expect(Buffer.concat(found.flatMap((portion) => portion.pieces))).toEqual(whole);
      for (const [index, portion] of found.entries()) {
        const length = Buffer.concat(portion.pieces).length;
        expect(portion.offset).toBe(index * longest);
        expect(length).toBe(Math.min(longest, whole.length - portion.offset));
      }
      expect(found).toHaveLength(Math.ceil(whole.length / longest));
    }),
  );
});
