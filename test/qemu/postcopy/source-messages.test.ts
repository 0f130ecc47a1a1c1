import { describe, expect, test } from "vitest";
import {
  closing,
  discard,
  opening,
  packaged,
  pageSection,
  readSourceHead,
} from "../../../src/qemu/postcopy/source-messages.ts";
import { description, madeHead, madeTail } from "../../helpers/migration-stream.ts";
import { rejection } from "../../helpers/rejection.ts";

const made = { blocks: [{ id: "pc.ram", pages: [undefined, undefined] }] };
const head = await readSourceHead(madeHead(made));
const block = { id: "pc.ram", size: 8192 };
const hex = (text: string): string => text.replaceAll(/\s/g, "");

describe("a postcopy source says", () => {
  test("that pages come later, between the machine's type and its RAM", () => {
    expect(opening(head).toString("hex")).toBe(
      hex(`5145564d 00000003 07 00000004 70632d78
        08 0001 0000
        08 0003 0010 0000000000001000 0000000000001000
        01 00000002 03 72616d 00000000 00000004
        0000000000002004 06 70632e72616d 0000000000002000 0000000000000010 7e 00000002`),
    );
  });

  test("which page is given up", () => {
    expect(discard(block, 4096, 4096).toString("hex")).toBe(
      hex("08 0006 0019 00 06 70632e72616d 00 0000000000001000 0000000000001000"),
    );
  });

  test("how its devices are, without the end of the stream, and that it is to run", () => {
    const tail = madeTail(made);
    const sections = tail.subarray(0, tail.length - description(["cpu", "disk", "globalstate"]).length);
    const length = sections.length + 5 + 9 + 5;
    expect(packaged(tail).toString("hex")).toBe(
      hex(`08 0007 0004 ${length.toString(16).padStart(8, "0")}
        08 0004 0000 ${sections.toString("hex")} 08 0002 0004 00000003 08 0005 0000`),
    );
  });

  test("nothing of devices whose state has no end", async () => {
    const tail = madeTail(made);
    const cut = tail.subarray(0, tail.length - 1);
    expect(await rejection(Promise.resolve().then(() => packaged(cut)))).toMatchObject({ code: "stream_invalid" });
  });

  test("what pages hold, the block named once", () => {
    const content = Buffer.alloc(4096, 0xab);
    const section = pageSection(head, block, [
      { offset: 0, content },
      { offset: 4096, content: undefined },
    ]);
    expect(section.toString("hex")).toBe(
      hex(`02 00000002 0000000000000008 06 70632e72616d ${content.toString("hex")}
        0000000000001022 00 0000000000000010 7e 00000002`),
    );
  });

  test("that this was all", () => {
    expect(closing(head).toString("hex")).toBe(hex("03 00000002 0000000000000010 7e 00000002 00"));
  });
});

test("a head that isn't one is refused", async () => {
  expect(await rejection(readSourceHead(Buffer.from("QEVM, but nothing else")))).toMatchObject({
    code: "stream_invalid",
  });
});
