#!/usr/bin/env node
/** The `backstay` command. Node.js runs its TypeScript as it is from version 24 on; an older one looks for a newer one beside the project. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../src/cli/main.ts', import.meta.url);

if (Number(process.versions.node.split('.')[0]) >= 24) {
  await import(main.href);
} else {
  const newer = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (!existsSync(newer)) {
    console.error(
      `backstay needs Node.js 24, and this is ${process.versions.node}: install it, or run npm ci, which brings one`,
    );
    process.exit(1);
  }
  const { status } = spawnSync(newer, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
