/** One line for the beginning and the end of each stage. */
import type { LogFields, Logger } from "../host/log.ts";
import type { ErrorReport, JobEvent, PointReport } from "../job/report.ts";

export function logJobEvent(log: Logger, event: JobEvent): void {
  switch (event.event) {
    case "capture-started":
      log.info("capture started", { source: event.source });
      return;
    case "capture-finished": {
      const { source, point, errors } = event;
      finished(log, "capture", event, { source, ...(point && fieldsOf(point)) }, errors);
      return;
    }
    case "replication-started":
      log.info("replication started", { location: event.replica });
      return;
    case "replication-finished": {
      const { replica: location, points, bytesRead, bytesSent, backlog, errors } = event;
      finished(log, "replication", event, { location, points, bytesRead, bytesSent, backlog }, errors);
      return;
    }
    case "prune-finished": {
      const { location, kept, forgotten, givenUp, accepted, errors } = event;
      finished(log, "prune", event, { location, kept, forgotten, givenUp, accepted }, errors);
      if (givenUp > 0) log.warn("points given up that a replica lacks", { location, givenUp });
      return;
    }
    case "capture-progress":
    case "replication-progress":
    case "prune-started":
  }
}

function finished(
  log: Logger,
  stage: string,
  { outcome, started, finished: ended }: { outcome: string; started: number; finished: number },
  fields: LogFields,
  errors: readonly ErrorReport[],
): void {
  const line = { ...fields, outcome, duration: ended - started };
  if (outcome === "failed") log.error(`${stage} failed`, { ...line, errors });
  else if (errors.length > 0) log.warn(`${stage} finished`, { ...line, errors });
  else log.info(`${stage} finished`, line);
}

function fieldsOf({ id, time, ...rest }: PointReport): LogFields {
  return { point: id, instant: new Date(time).toISOString(), ...rest };
}
