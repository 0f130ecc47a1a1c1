import { storageContract } from "../../../contract/storage-contract.ts";
import { localServer } from "../../../helpers/sftp.ts";

storageContract("sftp", async () => (await localServer()).storage);
