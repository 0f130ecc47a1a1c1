import type { BandwidthMeter } from "../bandwidth-meter.ts";
import type { ObjectLocks } from "../object-locks.ts";
import { sizeOf } from "../size-of.ts";
import type { Storage } from "../storage.ts";

/**
 * Keeps the bytes put and got, together, within the meter's rate, measured over seconds: an object that may go goes at full
 * speed, and those after it wait until it is paid for.
 */
export function withBandwidthLimit(storage: Storage, meter: BandwidthMeter): Storage {
  return {
    location: storage.location,
    async put(name, data, call = {}) {
      await meter.take(sizeOf(data), call.signal);
      await storage.put(name, data, call);
    },
    async get(name, range, call = {}) {
      if (range) await meter.take(range.length, call.signal);
      const data = await storage.get(name, range, call);
      // What comes without a range has a size that is known only now: it is paid for before anything else moves.
      if (!range) await meter.take(data.length, call.signal);
      return data;
    },
    stat: (name, call) => storage.stat(name, call),
    list: (prefix, call) => storage.list(prefix, call),
    delete: (name, call) => storage.delete(name, call),
    locks: storage.locks && limitLocks(storage.locks, meter),
  };
}

function limitLocks(locks: ObjectLocks, meter: BandwidthMeter): ObjectLocks {
  return {
    require: (call) => locks.require(call),
    async put(name, data, until, call = {}) {
      await meter.take(sizeOf(data), call.signal);
      return await locks.put(name, data, until, call);
    },
    async get(name, version, call = {}) {
      const data = await locks.get(name, version, call);
      await meter.take(data.length, call.signal);
      return data;
    },
    lockedUntil: (name, version, call) => locks.lockedUntil(name, version, call),
    extend: (name, version, until, call) => locks.extend(name, version, until, call),
    versions: (prefix, call) => locks.versions(prefix, call),
    restore: (name, version, until, call) => locks.restore(name, version, until, call),
  };
}
