import { expect, test } from "vitest";
import { surveyPoints } from "../../src/replicate/survey.ts";
import { putSmallObject } from "../../src/repository/points/small-objects.ts";
import { captureTiny, makeTestRepository, namesOf, withBadSector } from "../helpers/repository.ts";
import { rejection } from "../helpers/rejection.ts";

test("a manifest on a bad sector counts as lacking; without a proof nobody knows what may be relied on", async () => {
  const { repository } = await makeTestRepository();
  const points = [await captureTiny(repository, { image: [1] }), await captureTiny(repository, { image: [2] })];
  const [{ id: point, name } = { id: "", name: "" }, other] = points;
  const proof = { version: 1, point, method: "read-data", seconds: 1, detail: "" } as const;
  await putSmallObject(repository, "proofs", { ...proof, time: "2026-11-22T00:00:00.000Z", result: "passed" });
  await putSmallObject(repository, "proofs", { ...proof, time: "2026-11-22T01:00:00.000Z", result: "failed" });
  const survey = await surveyPoints(withBadSector(repository, [name]), []);
  expect([...survey.points]).toEqual([other?.id]);
  const [newest = ""] = (await namesOf(repository.storage, "proofs/")).toSorted().slice(-1);
  const refused = await rejection(surveyPoints(withBadSector(repository, [newest]), []));
  expect(refused).toMatchObject({ code: "storage_failed" });
});
