import fc from "fast-check";
import { expect, test } from "vitest";
import { isStillpointError } from "../../../src/errors.ts";
import { formatFields, parseFields } from "../../../src/restore/vm/command-line.ts";
import { ramSize } from "../../../src/restore/vm/launch-memory.ts";
import { disk, launched, machine, wordsOf } from "./made-machine.ts";

const bare = "-nodefaults -net none";

test.each<[string, string, string]>([
  [
    "who controls it and where it is seen",
    "-monitor stdio -qmp unix:/q -mon chardev=m -chardev stdio,id=m -vnc :1 -display gtk -S -daemonize -pidfile /p -D /log -gdb tcp::1 -s",
    "",
  ],
  ["what it loaded its state from", "-incoming tcp:0:4444 -loadvm x -snapshot", ""],
  ["under whose name it ran", "-runas nobody -chroot /var/empty -add-fd fd=3,set=1 -mem-path /huge -mem-prealloc", ""],
])("left out: %s", (_, given, wanted) => {
  expect(wordsOf(machine(`${bare} ${given}`))).toBe(`${bare} ${wanted}`.trim());
});

test.each([
  "-m 2G,slots=4,maxmem=8G -smp 4 -cpu host -enable-kvm -rtc base=localtime -boot order=c -uuid 0-0 -name guest=a,debug-threads=on -sandbox on -global a.b=c -no-reboot",
  "-something new,with=value --unknown word",
  "-device virtio-rng-pci,rng=r -object rng-random,id=r,filename=/dev/urandom",
])("kept as it is: %s", (given) => {
  expect(wordsOf(machine(`${bare} ${given}`))).toBe(`${bare} ${given.replace("--", "-")}`);
});

test.each<[string, string]>([
  ["-machine pc,accel=kvm,usb=off", "pc-i440fx-7.2,accel=kvm,usb=off"],
  ["-M type=pc -machine accel=tcg,vmport=off", "pc-i440fx-7.2,accel=tcg,vmport=off"],
  ["", "pc-i440fx-7.2"],
])("the machine's type is the one that it was, not the newest of its name: %s", (given, wanted) => {
  const { argv } = launched(machine(`${bare} ${given}`));
  expect(argv.slice(1, 3)).toEqual(["-machine", wanted]);
  expect(argv.filter((word) => word === "-machine")).toHaveLength(1);
});

test.each<[string, string, string]>([
  [
    "a drive",
    "-drive file=/images/a,format=qcow2,if=virtio,cache=none,aio=native,discard=unmap,serial=5",
    "-drive if=virtio,discard=unmap,file=disks/a.raw,format=raw",
  ],
  [
    "a cache that the guest sees",
    "-drive file=/images/a,if=ide,cache=directsync",
    "-drive if=ide,cache=writethrough,file=disks/a.raw,format=raw",
  ],
  ["by the short form", "-hda /images/a", "-drive index=0,media=disk,file=disks/a.raw,format=raw"],
  ["as a word alone", "/images/a", "-drive index=0,media=disk,file=disks/a.raw,format=raw"],
  ["relative to QEMU's folder", "-cdrom ../images/a", "-drive index=2,media=cdrom,file=disks/a.raw,format=raw"],
  ["firmware with its variables", "-pflash /images/a", "-drive if=pflash,file=disks/a.raw,format=raw"],
  ["a name with a comma", "-drive file=/images/x,,y,id=a,if=none", "-drive id=a,if=none,file=disks/a.raw,format=raw"],
])("the restored disk instead of what was there: %s", (_, given, wanted) => {
  expect(wordsOf(machine(`${bare} ${given}`, { disks: [disk("a")] }))).toBe(`${bare} ${wanted}`);
});

test("drives without ids are known by the names that QEMU gives them", () => {
  const given = "-drive file=json:x,if=virtio -drive if=virtio,file=json:y -drive file=json:z,index=3 -cdrom json:c";
  const disks = ["virtio1", "virtio0", "ide1-hd1", "ide1-cd0"].map((name) => disk(name));
  const words = wordsOf(machine(`${bare} ${given}`, { disks }));
  expect(words.match(/disks\/[\w-]+/g)).toEqual(["disks/virtio0", "disks/virtio1", "disks/ide1-hd1", "disks/ide1-cd0"]);
});

test.each<[string, string]>([
  ["in fields", "-blockdev driver=file,node-name=f,filename=/images/q -blockdev driver=qcow2,node-name=n,file=f"],
  ["in fields within", "-blockdev driver=qcow2,node-name=n,file.driver=file,file.filename=/images/q"],
  [
    "in JSON",
    `-blockdev {"driver":"qcow2","node-name":"n","file":{"driver":"file","filename":"/images/q"},"read-only":false}`,
  ],
])("a block graph becomes one node over the restored disk: %s", (_, given) => {
  const device = "-device virtio-blk-pci,drive=n,id=vda";
  const wanted = `-blockdev driver=raw,node-name=n,file.driver=file,file.filename=disks/vda.raw ${device}`;
  for (const more of [{ node: "n" }, { device: "/machine/peripheral/vda/virtio-backend" }, { file: "/images/q" }, {}])
    expect(wordsOf(machine(`${bare} ${given} ${device}`, { disks: [disk("vda", more)] }))).toBe(`${bare} ${wanted}`);
});

test("a read-only disk stays one; firmware connected to the machine is found", () => {
  const one = machine(
    `${bare} -blockdev driver=file,node-name=code,filename=/images/fw,read-only=on -machine q35,pflash0=code`,
    {
      disks: [disk("pflash0", { node: "code", read_only: true })],
    },
  );
  expect(wordsOf(one)).toContain("-blockdev driver=raw,node-name=code,read-only=on,file.driver=file");
});

test("a disk that was taken out is left out with its device; an empty drive stays empty", () => {
  const given =
    "-drive file=/images/a,if=none,id=a -device virtio-blk-pci,drive=a -drive if=ide,media=cdrom,id=cd,file=/iso -device ide-hd,drive=b -drive file=/images/b,if=none,id=b";
  const disks = [disk("b"), disk("cd", { part: null, file: "" })];
  expect(wordsOf(machine(`${bare} ${given}`, { disks }))).toBe(
    `${bare} -drive if=ide,media=cdrom,id=cd -device ide-hd,drive=b -drive if=none,id=b,file=disks/b.raw,format=raw`,
  );
});

test.each(["ide-cd,drive=n,id=cd", '{"driver":"ide-cd","drive":"n","id":"cd"}'])(
  "a medium that was taken out leaves its device: %s",
  (device) => {
    const given = `-blockdev driver=file,node-name=n,filename=/iso -device ${device}`;
    const disks = [disk("cd", { part: null, file: "" })];
    expect(wordsOf(machine(`${bare} ${given}`, { disks }))).toBe(`${bare} -device ide-cd,id=cd`);
  },
);

test("a disk that wasn't captured is missing in a cold start; the guest can't go on without it", () => {
  const given =
    "-drive file=/images/a,if=virtio,id=a -blockdev driver=file,node-name=n,filename=/b -device ide-hd,drive=n";
  const disks = [disk("a"), disk("n", { part: null, node: "n", file: "/b" })];
  const one = machine(`${bare} ${given}`, { disks });
  expect(wordsOf(one)).toBe(`${bare} -drive if=virtio,id=a,file=disks/a.raw,format=raw`);
  expect(() => launched(one, { incoming: "fd:3" })).toThrow("the disk n wasn't captured");
});

test.each<[string, string, string]>([
  [
    "QEMU's own",
    "-netdev user,id=n,net=10.1.0.0/24,hostfwd=tcp::22-:22,guestfwd=tcp:10.0.2.1:1-cmd:x",
    "-netdev user,id=n,net=10.1.0.0/24,restrict=on",
  ],
  ["a tap", "-netdev tap,id=n,ifname=tap0,vhost=on,queues=4", "-netdev tap,id=n,script=no,downscript=no,queues=4"],
  [
    "a tap of libvirt",
    "-netdev tap,fds=3:4,id=n,vhost=on,vhostfds=5:6",
    "-netdev tap,id=n,script=no,downscript=no,queues=2",
  ],
  ["in JSON", `-netdev {"type":"bridge","id":"n","br":"br0"}`, "-netdev tap,id=n,script=no,downscript=no"],
  ["a socket", "-netdev socket,id=n,listen=:1234", "-netdev user,id=n,restrict=on"],
  [
    "card and all",
    "-nic tap,model=e1000,mac=52:54:00:00:00:01,ifname=t",
    "-nic tap,model=e1000,mac=52:54:00:00:00:01,script=no,downscript=no",
  ],
  ["the old way", "-net nic,model=e1000 -net user,hostfwd=::1-:2", "-net nic,model=e1000 -net user,restrict=on"],
])("cut off from the world: %s", (_, given, wanted) => {
  expect(wordsOf(machine(`-nodefaults ${given}`))).toBe(`-nodefaults ${wanted}`);
});

test("what QEMU makes without a word, a network and a serial port, is there, and leads nowhere", () => {
  expect(wordsOf(machine(""))).toBe("-net nic -net user,restrict=on -serial file:serial0.log");
});

test("networks are kept when that is wanted, unless they were given as open files", () => {
  const given = "-nodefaults -netdev tap,id=n,ifname=tap0";
  expect(wordsOf(machine(given), { network: "keep" })).toBe(given);
  expect(() => launched(machine("-netdev tap,fd=3,id=n"), { network: "keep" })).toThrow("only run isolated");
});

test("serial ports become files in the order in which the guest has them, other channels sockets; monitors go", () => {
  const given = `-net none -chardev pty,id=a -chardev socket,id=b,path=/agent -chardev stdio,id=c,mux=on -chardev spicevmc,id=d -chardev ringbuf,id=e
    -serial mon:stdio -serial chardev:a -device isa-serial,chardev=c -mon chardev=c -device virtserialport,chardev=b -device virtserialport,chardev=d
    -device virtserialport,chardev=e -parallel stdio -chardev stdio,id=unused`;
  expect(wordsOf(machine(given))).toBe(
    "-net none -chardev file,id=a,path=serial1.log -chardev socket,id=b,path=channel0.sock,server=on,wait=off -chardev file,id=c,path=serial2.log -chardev null,id=d -chardev ringbuf,id=e " +
      "-serial file:serial0.log -serial chardev:a -device isa-serial,chardev=c -device virtserialport,chardev=b -device virtserialport,chardev=d -device virtserialport,chardev=e -parallel null",
  );
  expect(launched(machine(given))).toMatchObject({ serials: 3, sockets: 1 });
});

const mib = 1024 * 1024;
const blocks = [
  { id: "pc.ram", size: 64 * mib },
  { id: "vga.vram", size: 16 * mib },
];
const memory = (number: number): string => `memory/${number}.raw`;

test("RAM comes from its image by a private mapping", () => {
  const one = machine(`${bare} -m 64`, { memory: { page: 4096, blocks } });
  const { argv, mapped } = launched(one, { memory, incoming: "fd:3" });
  expect(argv.join(" ")).toContain(
    "-machine pc-i440fx-7.2,memory-backend=pc.ram -nodefaults -net none -m 64 -object memory-backend-file,id=pc.ram,size=67108864,mem-path=memory/0.raw,share=off",
  );
  expect(argv.slice(-2)).toEqual(["-incoming", "fd:3"]);
  expect(mapped).toEqual([0]);
});

test("so does RAM in backends of its own, one for each node", () => {
  const two = ["/objects/m0", "m1"].map((id) => ({ id, size: 32 * mib }));
  const given = `-m 64 -object memory-backend-memfd,id=m0,size=32M,share=on -object {"qom-type":"memory-backend-ram","id":"m1","size":33554432} -numa node,memdev=m0 -numa node,memdev=m1`;
  const one = machine(`${bare} ${given}`, {
    memory: { page: 4096, blocks: [blocks[1] as (typeof blocks)[0], ...two] },
  });
  expect(wordsOf(one, { memory })).toContain(
    "-object memory-backend-file,id=m0,size=33554432,mem-path=memory/1.raw,share=off,x-use-canonical-path-for-ramblock-id=on " +
      "-object memory-backend-file,id=m1,size=33554432,mem-path=memory/2.raw,share=off",
  );
  expect(launched(one, { memory }).mapped).toEqual([1, 2]);
});

test("started cold, it has ordinary memory; a block that can't be found isn't mapped", () => {
  const cold = machine(
    `${bare} -m 64 -object memory-backend-file,id=m,size=64M,mem-path=/hugepages,share=on -machine memory-backend=m`,
  );
  expect(launched(cold).argv.join(" ")).toContain("-object memory-backend-ram,id=m,size=64M");
  const other = machine(`${bare} -m 65`, { memory: { page: 4096, blocks } });
  expect(launched(other, { memory }).mapped).toEqual([]);
});

test.each([
  ["", 128],
  ["-m 512", 512],
  ["-m 2G,slots=4", 2048],
  ["-m size=1.5g", 1536],
  ["-m 1024k", 1],
])("the size of RAM: %s", (given, wanted) => {
  const options = given === "" ? [] : [{ name: "m", value: given.slice(3) }];
  expect(ramSize(options)).toBe(wanted * mib);
});

test("kernels and firmware come from the point", () => {
  const given = `${bare} -kernel vmlinuz -append root=/dev/vda -fw_cfg name=opt/a,file=/fw -device {"driver":"loader","file":"/fw"} -bios /bios,2`;
  const files = [
    { option: "-kernel", path: "/srv/vmlinuz" },
    { option: "fw_cfg", path: "/fw" },
    { option: "-device", path: "/fw" },
    { option: "-bios", path: "/bios,2" },
  ];
  expect(wordsOf(machine(given, { files }))).toBe(
    `${bare} -kernel files/0 -append root=/dev/vda -fw_cfg name=opt/a,file=files/1 -device {"driver":"loader","file":"files/2"} -bios files/3`,
  );
});

test("a shared folder can't be written to by a copy; sound goes nowhere; secrets of replaced disks go", () => {
  const given = `${bare} -fsdev local,id=f,path=/data,security_model=none -audiodev pa,id=s,server=x -object secret,id=k,file=/key`;
  expect(wordsOf(machine(given))).toBe(
    `${bare} -fsdev local,id=f,path=/data,security_model=none,readonly=on -audiodev none,id=s`,
  );
});

test.each([
  ["-readconfig /etc/vm", "-readconfig"],
  ["-device vfio-pci,host=01:00.0", "vfio-pci"],
  [`-device {"driver":"usb-host","hostbus":1}`, "usb-host"],
  ["-tpmdev emulator,id=t,chardev=c", "TPM"],
  ["-netdev vhost-user,id=n,chardev=c", "vhost-user"],
  ["-object sev-guest,id=s", "encrypted"],
])("refused, with the reason: %s", (given, reason) => {
  expect(() => launched(machine(given))).toThrow(reason);
});

test("a disk that was plugged in while it ran is refused, since nothing says how; a medium isn't", () => {
  expect(() => launched(machine(bare, { disks: [disk("late")] }))).toThrow("the disk late was plugged in");
  expect(wordsOf(machine(bare, { disks: [disk("cd", { read_only: true })] }))).toBe(bare);
});

test("fields survive being read and written, commas and all", () => {
  const value = fc.string({ maxLength: 10 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.stringMatching(/^[a-z][a-z.-]{0,8}$/), value), { minLength: 1 }), (entries) => {
      const fields = new Map(entries);
      expect(parseFields(formatFields(undefined, fields))).toEqual(fields);
    }),
  );
});

test("whatever the command line and the disks, it is a launch or a refusal, and no disk of the host is opened", () => {
  const words =
    "-drive -blockdev -device -netdev -nic -net -chardev -serial -object -machine -m -hda -cdrom -numa -fsdev -mon -fw_cfg".split(
      " ",
    );
  const value = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "none",
      "chardev:a",
      "stdio,id=a",
      "driver=file,node-name=n,filename=/dev/sda",
      "file=/dev/sda,id=a",
      "virtio-blk-pci,drive=n",
      "virtio-blk-pci,drive=a,id=d",
      "user,id=n",
      "/dev/sda",
      '{"driver":"raw","node-name":"n","file":"m"}',
      "{",
    ),
  );
  const command = fc.array(fc.oneof(fc.constantFrom(...words), value), { maxLength: 14 });
  const disks = fc.array(
    fc.constantFrom(disk("a"), disk("n"), disk("x", { file: "/dev/sda" }), disk("e", { part: null })),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(command, disks, (given, some) => {
      let argv: readonly string[] = [];
      try {
        ({ argv } = launched(machine(given, { disks: some, files: [{ option: "-fw_cfg", path: "../../x" }] })));
      } catch (error) {
        if (!isStillpointError(error, "vm_refused")) throw error;
      }
      const images = argv.filter((_, position) => /^-(drive|blockdev|hda|cdrom)$/.test(argv[position - 1] ?? ""));
      expect(images.join()).not.toContain("/dev/sda");
    }),
    { numRuns: 3000 },
  );
});
