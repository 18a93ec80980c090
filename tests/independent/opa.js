// node opa.js SERVER_URL TOKEN < CALLS
//
// CALLS is a list of [method of OPAClient, ...its arguments]. Prints one {"value"} or {"error"} for each.
"use strict";

const { OPAClient } = require("@open-policy-agent/opa");

async function main([serverUrl, token]) {
  const client = new OPAClient(serverUrl, { headers: { authorization: `Bearer ${token}` } });
  const told = [];
  for (const [method, ...rest] of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
    try {
      told.push({ value: await client[method](...rest) });
    } catch (error) {
      told.push({ error: error.message ?? error });
    }
  }
  console.log(JSON.stringify(told));
}

main(process.argv.slice(2));
