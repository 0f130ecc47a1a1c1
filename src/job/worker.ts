/** The entry of a worker thread: every task that can run in one. */
import { readFilesTask } from "../capture/directory/read-files-task.ts";
import { scanFolders } from "../capture/directory/scan-folders-task.ts";
import { verifyFolders } from "../capture/directory/verify-folders-task.ts";
import { captureRegion } from "../capture/image/capture-region-task.ts";
import { captureMemoryRegion } from "../capture/vm/memory/capture-memory-region-task.ts";
import { captureDiskRegion } from "../capture/vm/capture-disk-region-task.ts";
import { storeChunks } from "../capture/stream/store-chunks-task.ts";
import { readPacks } from "../repository/check/read-task.ts";
import { copyBlobs } from "../repository/sweep/copy-task.ts";
import { serveTasks } from "../repository/threads/worker-host.ts";
import { makeEntries } from "../restore/make-entries-task.ts";
import { writeFilePart, writeWholeFiles } from "../restore/write-files-task.ts";
import { openStorage } from "../storage/open.ts";

serveTasks(
  [
    captureMemoryRegion,
    captureDiskRegion,
    captureRegion,
    copyBlobs,
    makeEntries,
    readFilesTask,
    readPacks,
    scanFolders,
    storeChunks,
    verifyFolders,
    writeFilePart,
    writeWholeFiles,
  ],
  (folder) => openStorage(folder),
);
