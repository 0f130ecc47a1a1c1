import { expect, test } from "vitest";
import { newestPoint } from "../../src/job/newest-point.ts";
import { captureTiny, makeTestRepository, withBadSector } from "../helpers/repository.ts";
import { rejection } from "../helpers/rejection.ts";

test("one on a bad sector is passed over; several in a row are a storage that fails", async () => {
  const { repository, clock } = await makeTestRepository();
  const names: string[] = [];
  for (let i = 1; i <= 4; i++) {
    names.unshift((await captureTiny(repository, { image: [i] })).name);
    clock.pass(60_000);
  }
  expect(await newestPoint(withBadSector(repository, names.slice(0, 1)), "tiny")).toMatchObject({ name: names[1] });
  const failing = withBadSector(repository, names);
  expect(await rejection(newestPoint(failing, "tiny"))).toMatchObject({ code: "storage_failed" });
});
