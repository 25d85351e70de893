import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { generateCrd, generateKustomization } from './generate/crd.ts';
import { generateReference } from './generate/reference.ts';
import { readSource } from './generate/source.ts';
import { generateTypes } from './generate/types.ts';
import { generateSchemas, generateValidators } from './generate/validators.ts';

const root = join(import.meta.dirname, '..');

/** Folders that hold generated files only, so that what is no longer generated is removed from them. */
const OWNED_FOLDERS = ['manifests/crds', 'src/api/generated'];

/** Every generated file by its path from the root of the repository. */
async function generate(): Promise<Map<string, string>> {
  const source = readSource(join(root, 'schemas'));
  const files = new Map<string, string>();
  for (const kind of source.kinds) files.set(`manifests/crds/${kind.plural}.backstay.dev.yaml`, generateCrd(kind));
  files.set('manifests/crds/kustomization.yaml', generateKustomization(source.kinds));
  files.set('src/api/generated/types.ts', await generateTypes(source));
  files.set('docs/api.md', generateReference(source));
  const validators = generateValidators(source);
  files.set('src/api/generated/validators.js', validators.module);
  files.set('src/api/generated/validators.d.ts', validators.declarations);
  const schemas = generateSchemas(source.kinds);
  files.set('src/api/generated/schemas.js', schemas.module);
  files.set('src/api/generated/schemas.d.ts', schemas.declarations);
  return files;
}

/** Paths of files that are stale, missing or no longer generated. */
function staleFiles(files: Map<string, string>): string[] {
  const stale = [...files].filter(([path, text]) => readIfThere(path) !== text).map(([path]) => path);
  return [...stale, ...leftOver(files)];
}

function leftOver(files: Map<string, string>): string[] {
  return OWNED_FOLDERS.flatMap((folder) => {
    const absolute = join(root, folder);
    mkdirSync(absolute, { recursive: true });
    return readdirSync(absolute, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)))
      .filter((path) => !files.has(path));
  });
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return undefined;
  }
}

const files = await generate();
const stale = staleFiles(files);
if (process.argv.includes('--check')) {
  for (const path of stale) console.error(`${path} is stale: run npm run generate`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const path of leftOver(files)) rmSync(join(root, path));
  for (const path of stale.filter((one) => files.has(one))) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), files.get(path) ?? '');
    console.log(path);
  }
}
