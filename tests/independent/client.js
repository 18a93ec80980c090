// node client.js TRUST_ROOT STATE_DIR STORE_URL TARGET_PATH
//
// A host in another language: TUF, and the one rule we add to it, that people on call may go back to an earlier bundle.
// Prints the file it verified and downloaded. STATE_DIR is what it remembers between calls.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { TargetFile } = require("@tufjs/models");
const { Updater } = require("tuf-js");

async function main([trustRoot, stateDir, storeUrl, targetPath]) {
  const [metadataDir, targetDir] = ["metadata", "targets"].map((name) => path.join(stateDir, name));
  for (const folder of [metadataDir, targetDir]) fs.mkdirSync(folder, { recursive: true });
  const newestRoot = path.join(metadataDir, "root.json");
  if (!fs.existsSync(newestRoot)) fs.copyFileSync(trustRoot, newestRoot);

  const updater = new Updater({
    metadataDir,
    metadataBaseUrl: `${storeUrl}/metadata`,
    targetDir,
    targetBaseUrl: `${storeUrl}/targets`,
  });
  await updater.refresh();
  const listed = await updater.getTargetInfo(targetPath);
  if (!listed) throw new Error(`${targetPath}: nobody lists it`);
  console.log(await updater.downloadTarget(await live(updater, listed)));
}

async function live(updater, listed) {
  const channel = path.dirname(listed.path);
  const role = `${channel}.oncall`;
  await updater.getTargetInfo(`${role}/any`); // verifies the role, where there is one
  const said = updater.trustedSet.getRole(role)?.signed.unrecognizedFields["x-oncall"];
  if (!said || said.release <= listed.custom.release || said.selected === listed.hashes.sha256) return listed;
  const offered = (listed.custom.selectable ?? []).find((each) => each.sha256 === said.selected);
  if (!offered) throw new Error(`${role}: selects what the channel does not offer`);
  const { name, length, sha256 } = offered;
  return new TargetFile({ path: `${channel}/${name}.tar.gz`, length, hashes: { sha256 } });
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
});
