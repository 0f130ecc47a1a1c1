import { expect, test } from "vitest";
import { LocationViews } from "../../src/job/location-view.ts";
import { day, makeLockedSite } from "../helpers/locked-site.ts";
import { captureTiny } from "../helpers/repository.ts";

test("a point that somebody has put at a locked replica again, as it was, is no younger for those who replicate from there", async () => {
  const site = await makeLockedSite();
  const { clock, primary, replica, storage } = site;
  const { id, name } = await captureTiny(primary, { image: [1] });
  const received = clock.now();
  await site.send();
  clock.pass(9 * day);
  await storage.put(name, [await storage.get(name)]);
  const { points } = await new LocationViews().of({}, { name: "vault", repository: replica });
  expect(points).toMatchObject([{ id, received }]);
});
