/** In which order a server is asked for what makes a write durable. */

import { expect, test } from "vitest";
import { string, u32 } from "../../../../src/host/big-endian.ts";
import { packetTypes as types, statusCodes as codes } from "../../../../src/storage/drivers/sftp/protocol.ts";
import { SftpStorage } from "../../../../src/storage/drivers/sftp/sftp-storage.ts";
import { ManualClock } from "../../../helpers/manual-clock.ts";
import { packet, type Request, scriptedServer, status } from "../../../helpers/scripted-sftp.ts";
import { connectTo } from "../../../helpers/sftp.ts";

const nameOf = (type: number): string => Object.entries(types).find(([, number]) => number === type)?.[0] ?? "?";
const folder = Buffer.concat([u32(0x04), u32(0o040700)]);

type Work = (storage: SftpStorage) => Promise<void>;

const put: Work = async (storage) => await storage.put("packs/a", [Buffer.from("content")]);
const remove: Work = async (storage) => await storage.delete("packs/a");

/** Does the work, and tells what the server was asked for. `refuse` gives the code with which a step fails. */
async function stepsOf(work: Work, refuse: (step: string) => number | undefined = () => undefined) {
  const steps: string[] = [];
  const answer = ({ type, id, fields }: Request): Buffer => {
    const first = fields.text();
    const what = type === types.extended ? `${first.split("@")[0] ?? ""} ${fields.text()}` : `${nameOf(type)} ${first}`;
    const step = what.replace(/\.stillpoint-[0-9a-f]{32}\.tmp/, "X");
    steps.push(step);
    const code = refuse(step);
    if (code !== undefined) return status(id, code);
    // The handle of a file is its path.
    if (type === types.open || type === types.opendir)
      return packet(types.handle, u32(id), string(step.replace(/^\w+ /, "")));
    if (type === types.lstat || type === types.stat) return packet(types.attrs, u32(id), folder);
    return status(id, type === types.readdir ? codes.endOfFile : codes.ok);
  };
  const extensions = ["posix-rename@openssh.com", "fsync@openssh.com"];
  const clock = new ManualClock();
  const connect = async () => await connectTo(scriptedServer({ extensions, answer }), clock);
  const storage = new SftpStorage({ location: "far", path: "/s", clock, connect });
  const outcome = await work(storage).then(
    () => "done",
    (error: unknown) => error,
  );
  // What nobody waits for is asked for a moment later.
  await clock.advance(0);
  return { outcome, steps: steps.filter((step) => !/readdir|opendir|close \/s(\/tmp)?\/?$/.test(step)) };
}

test("the folder and the file last before it gets its name, the name before put resolves", async () => {
  const { outcome, steps } = await stepsOf(put);
  expect(outcome).toBe("done");
  const naming = ["posix-rename /s/tmp/X", "open /s/packs", "fsync /s/packs", "close /s/packs"];
  expect(steps.slice(-naming.length)).toEqual(naming);
  // The two go by side by side.
  const before = steps.slice(0, -naming.length);
  expect(before.filter((step) => step.endsWith("/tmp/X"))).toEqual([
    "open /s/tmp/X",
    "write /s/tmp/X",
    "fsync /s/tmp/X",
    "close /s/tmp/X",
  ]);
  expect(before.filter((step) => !step.endsWith("/tmp/X"))).toEqual([
    "lstat /s/tmp",
    "open /s/",
    "mkdir /s/packs",
    "fsync /s/",
  ]);
});

test.each([
  "fsync /s/",
  "open /s/tmp/X",
  "write /s/tmp/X",
  "fsync /s/tmp/X",
  "close /s/tmp/X",
  "posix-rename /s/tmp/X",
])("when %s fails, so does put, and nothing gets the name", async (failing) => {
  const { outcome, steps } = await stepsOf(put, (step) => (step === failing ? codes.failure : undefined));
  expect(outcome).toMatchObject({ code: "storage_failed" });
  const after = steps.slice(steps.indexOf(failing) + 1);
  expect(after.filter((step) => /rename|fsync .*(tmp|packs)/.test(step))).toEqual([]);
  expect(after.includes("remove /s/tmp/X")).toBe(failing !== "open /s/tmp/X");
});

test("a folder that the server can't synchronise is passed over; one whose synchronising fails isn't", async () => {
  const onFolder = (code: number) => async () =>
    await stepsOf(put, (step) => (step === "fsync /s/packs" ? code : undefined));
  for (const code of [codes.badMessage, codes.unsupported]) expect((await onFolder(code)()).outcome).toBe("done");
  expect((await onFolder(codes.failure)()).outcome).toMatchObject({ code: "storage_failed" });
  const unopened = await stepsOf(put, (step) => (step === "open /s/packs" ? codes.permissionDenied : undefined));
  expect(unopened.outcome).toBe("done");
});

test("what is deleted is gone for good before delete resolves, also when another has deleted it", async () => {
  const synced = ["open /s/packs", "fsync /s/packs", "close /s/packs"];
  expect(await stepsOf(remove)).toEqual({ outcome: "done", steps: ["remove /s/packs/a", ...synced] });
  const gone = await stepsOf(remove, (step) => (step === "remove /s/packs/a" ? codes.noSuchFile : undefined));
  expect(gone.outcome).toBe("done");
  expect(gone.steps.slice(-3)).toEqual(synced);
  const failing = await stepsOf(remove, (step) => (step === "fsync /s/packs" ? codes.failure : undefined));
  expect(failing.outcome).toMatchObject({ code: "storage_failed" });
});
