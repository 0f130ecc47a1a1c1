import { expect, it } from "vitest";
import { parseNetworks } from "../../../src/capture/vm/machine.ts";

it("finds network cards and what they are connected to", () => {
  const text = [
    "hub 0",
    " \\ hub0port1: #net108: index=0,type=user,net=10.0.2.0,restrict=off",
    " \\ hub0port0: e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56",
    "net0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:57",
    " \\ lan: index=0,type=tap,ifname=tap0,script=no",
    "alone: index=0,type=nic,model=rtl8139,macaddr=52:54:00:12:34:58",
    "",
  ].join("\r\n");
  expect(parseNetworks(text)).toEqual([
    { id: "e1000.0", type: "user", model: "e1000", mac: "52:54:00:12:34:56" },
    { id: "net0", type: "tap", model: "virtio-net-pci", mac: "52:54:00:12:34:57" },
    { id: "alone", model: "rtl8139", mac: "52:54:00:12:34:58" },
  ]);
});
