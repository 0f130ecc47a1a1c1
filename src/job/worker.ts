/** The entry of a worker thread: every task that can run in one. */
import { captureRegion } from "../capture/image/capture-region-task.ts";
import { serveTasks } from "../repository/worker-host.ts";
import { openStorage } from "../storage/open.ts";

serveTasks([captureRegion], openStorage);
