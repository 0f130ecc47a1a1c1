/** The networks of a command line, cut off from the world. */
import { cannotLaunch } from "./cannot-launch.ts";
import { type Fields, formatFields, type Option, parseFields } from "./command-line.ts";

/** What a guest sees of QEMU's own network, which is emulated. */
const ownNetwork = /^(net|host|dns|dhcpstart|ipv4|ipv6|ipv6-.*|hostname|dnssearch.*|domainname)$/;
/** What is the card's, in `-nic`. */
const card = /^(model|mac|addr|vectors)$/;

/**
 * The device in the guest stays as it is; behind it comes nothing that leads anywhere. What a tap promised to the guest (whole
 * packets with their headers, on which a virtio card insists when its state is loaded) only another tap can keep: so that is what
 * it gets, without a script, so that the kernel leaves it down and connected to nothing; to make it takes the right to.
 */
export function isolateNetworks(options: readonly Option[]): Option[] {
  const networks = new Set(["netdev", "nic", "net"]);
  const isolated = options.map((option): Option => {
    if (!networks.has(option.name)) return option;
    const fields = parseFields(option.value, "type");
    const type = fields.get("type") ?? "";
    if (type === "none" || type === "hubport" || (option.name === "net" && type === "nic")) return option;
    const backend = isolatedBackend(type, fields);
    const id = fields.get("id");
    const own = option.name === "nic" ? [...fields].filter(([key]) => card.test(key)) : [];
    return {
      name: option.name,
      value: formatFields(
        backend.type,
        new Map([...(id === undefined ? [] : [["id", id] as const]), ...own, ...backend.fields]),
      ),
    };
  });
  const hasNone = !options.some(({ name }) => networks.has(name) || name === "nodefaults");
  // Without a word about networks QEMU makes these two, open to the world.
  const usual = [
    { name: "net", value: "nic" },
    { name: "net", value: "user,restrict=on" },
  ];
  return hasNone ? [...isolated, ...usual] : isolated;
}

function isolatedBackend(
  type: string,
  fields: Fields,
): { readonly type: string; readonly fields: readonly (readonly [string, string])[] } {
  if (type.startsWith("vhost-") || type === "af-xdp")
    throw cannotLaunch(`its network is a ${type}, a program of its host`);
  if (type !== "tap" && type !== "bridge") {
    const own = type === "user" ? [...fields].filter(([key]) => ownNetwork.test(key)) : [];
    return { type: "user", fields: [...own, ["restrict", "on"]] };
  }
  const queues = fields.get("queues") ?? countOf(fields.get("fds"));
  const headers = fields.get("vnet_hdr");
  return {
    type: "tap",
    fields: [
      ["script", "no"],
      ["downscript", "no"],
      ...(queues === undefined ? [] : [["queues", queues] as const]),
      ...(headers === undefined ? [] : [["vnet_hdr", headers] as const]),
    ],
  };
}

/** Of open files, which are given as `3:4:5`. */
function countOf(fds: string | undefined): string | undefined {
  return fds === undefined ? undefined : String(fds.split(":").length);
}

/** Networks as they were. Throws `vm_refused` for one that was given to QEMU as an open file: nobody gives it again. */
export function requireOwnNetworks(options: readonly Option[]): readonly Option[] {
  const given = options.some(({ name, value }) => {
    const fields = name === "netdev" || name === "nic" || name === "net" ? parseFields(value, "type") : undefined;
    return fields?.has("fd") === true || fields?.has("fds") === true;
  });
  if (!given) return options;
  throw cannotLaunch("its network was opened for it by another program, such as libvirt; it can only run isolated");
}
