// Runs groups of checks of the dashboard in one browser, each check with users of its own. The last line is their count.
// `node run.mjs GROUP…`; with FRESHET_CHECKS=WORD those alone whose names have the word.

import { chromium } from './support.mjs';
import { history } from './history.mjs';
import { inspect } from './inspect.mjs';
import { look } from './look.mjs';
import { operator } from './operator.mjs';
import { purging } from './purging.mjs';
import { security } from './security.mjs';
import { session } from './session.mjs';

const CHROMIUM = process.env.FRESHET_CHROMIUM ?? '/usr/bin/chromium';
// A root user's browser has no sandbox of its own to begin with. The name is for the check of DNS rebinding.
const ARGUMENTS = ['--no-sandbox', '--host-resolver-rules=MAP evil.test 127.0.0.1'];

/** A check that hangs has failed. */
const CHECK_MS = 90_000;

function bounded(check) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it took more than ${CHECK_MS} ms`)), CHECK_MS);
    check.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const GROUPS = { session, purging, inspect, history, operator, security, look };

const word = process.env.FRESHET_CHECKS ?? '';
const checks = process.argv.slice(2).flatMap((group) => Object.entries(GROUPS[group]));
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
let [passed, failed] = [0, 0];
for (const [name, check] of checks) {
  if (!name.includes(word)) continue;
  const begun = performance.now();
  try {
    await bounded(check(browser));
    passed += 1;
    console.log(`ok      ${name} (${Math.round(performance.now() - begun)} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}: ${String(error.stack ?? error).slice(0, 3000)}`);
  }
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
