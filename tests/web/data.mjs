// What the tests look at: the demo's model on a few hundred rendered scenes. Made anew in each run, in BUILD/web-tests.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(fileURLToPath(import.meta.url), '../../..');
export const build = process.env.CLIPSPAN_BUILD ?? join(root, 'build/release');
export const folder = join(build, 'web-tests');
export const model = join(root, 'models/demo/clipspan-demo');
export const pool = join(root, 'models/demo/pool.txt');
const prompts = join(root, 'models/demo/zero_shot');
export const classes = (column) => ['--column', column, '--classes', join(prompts, `${column}.classes.txt`),
  '--templates', join(prompts, `${column}.templates.txt`)];

const env = { ...process.env, OMP_WAIT_POLICY: 'passive', XDG_CACHE_HOME: join(folder, 'cache') };

/** Runs the command, gives its standard output. */
export function clipspan(...args) {
  return execFileSync(join(build, 'clipspan'), args, { env, maxBuffer: 1 << 28, encoding: 'utf8' });
}

function scenes(name, ...args) {
  execFileSync(join(build, 'models/demo/demo-scenes'), ['dir', join(folder, name), ...args, '--split', 'test'], { stdio: 'ignore' });
  return join(folder, name);
}

let made = null;
/** {images, single, store, report}: paths. */
export function data() {
  if (made) return made;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const images = scenes('images', '--count', '600', '--seed', '2026');
  const single = scenes('single', '--count', '40', '--seed', '11', '--set', 'single');
  const store = join(folder, 'store'), report = join(folder, 'report.html');
  clipspan('decompose', model, join(images, 'labels.csv'), '-o', store, '--store-dtype', 'f16', '--quiet');
  clipspan('report', store, '-o', report, '--texts', pool, ...classes('shape'), '--attribute', 'size',
    '--segment', single, '--segment-classes', join(prompts, 'shape.classes.txt'), '--quiet');
  made = { images, single, store, report };
  return made;
}
