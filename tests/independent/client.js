// node client.js TRUST_ROOT STATE_DIR STORE_URL TARGET_PATH
//
// A host in another language: it knows the trust root, the address and the name of its bundle, and nothing else of us.
// Prints the file it verified and downloaded. STATE_DIR is what it remembers between calls.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
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
  const target = await updater.getTargetInfo(targetPath);
  if (!target) throw new Error(`${targetPath}: nobody lists it`);
  console.log(await updater.downloadTarget(target));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
});
