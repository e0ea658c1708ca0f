import { resolve } from "node:path";
import type { Permissions } from "../agent/permissions.ts";
import type { Config } from "../config/config.ts";
import { localAddress } from "../config/listen_address.ts";
import { usualMonitors, wantedPorts } from "../doctor/addresses.ts";
import { findProgram } from "../lib/programs.ts";
import type { DoctorCommand } from "./command.ts";

/**
 * What `doctor` needs beyond what a node of this configuration does: to look at disks, addresses and the monitors of NATS, to ask the
 * journal, and to write its bundle. Who has which file open, it cannot see: `/proc` comes only with all permissions.
 */
export function doctorPermissions({ bundle }: DoctorCommand, config: Config): Permissions {
  const journal = bundle === undefined || config.logging.file !== "" ? undefined : findProgram("journalctl");
  const programs = journal === undefined ? [] : [journal];
  return {
    read: programs,
    write: bundle === undefined ? [] : [resolve(bundle)],
    net: [
      ...wantedPorts(config).map(({ address }) => localAddress(address)),
      ...bundle === undefined ? [] : usualMonitors(config),
    ],
    env: programs.length === 0 ? [] : ["PATH"],
    sys: ["statfs", "networkInterfaces"],
    run: programs,
  };
}
