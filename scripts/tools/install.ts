/** `node scripts/tools/install.ts [NAME…]` installs the named tools (all of them without names) and prints their paths. */
import { describeError } from '../../src/api/errors.ts';
import { TOOLS, type ToolName } from './registry.ts';
import { tools } from './tool.ts';

const known = Object.keys(TOOLS) as ToolName[];
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !known.some((other) => other === name));
if (unknown.length > 0) {
  console.error(`There is no tool ${unknown.join(', ')}; there are ${known.join(', ')}`);
  process.exit(2);
}
try {
  const paths = await tools(asked.length === 0 ? known : known.filter((name) => asked.includes(name)));
  for (const [name, path] of Object.entries(paths)) console.log(`${name} ${path}`);
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
