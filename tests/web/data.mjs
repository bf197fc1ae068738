// What the tests look at: the demo's model on a few hundred rendered scenes. Made anew in each run of run.sh, in
// BUILD/web-tests, by the first test that needs it; by each test that is run without run.sh.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

function makeReport(store) {
  const report = join(folder, 'report.html');
  if (existsSync(report)) return report;
  const single = scenes('single', '--count', '40', '--seed', '11', '--set', 'single');
  clipspan('report', store, '-o', report, '--texts', pool, ...classes('shape'), '--attribute', 'size',
    '--segment', single, '--segment-classes', join(prompts, 'shape.classes.txt'), '--quiet');
  return report;
}

let made = null;
/** {images, store, report}: paths; the report is written when it is first asked for. */
export function data() {
  if (made) return made;
  const images = join(folder, 'images'), store = join(folder, 'store'), stamp = join(folder, 'run'), run = process.env.CLIPSPAN_RUN;
  if (!run || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== run) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    scenes('images', '--count', '600', '--seed', '2026');
    clipspan('decompose', model, join(images, 'labels.csv'), '-o', store, '--store-dtype', 'f16', '--quiet');
    writeFileSync(stamp, run ?? '');
  }
  let report = null;
  made = { images, store, get report() { return (report ??= makeReport(store)); } };
  return made;
}
