// `clipspan serve` for a test: started on a free port, stopped by its id.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build, folder } from './data.mjs';

/** {url, origin, port, stop()}: what it printed, and its end: stop() answers with the exit code, or the signal that it took.
 * args as on the command line, after `serve`; port 0: any that is free. */
export function serve(args, port = 0) {
  const env = { ...process.env, OMP_WAIT_POLICY: 'passive', XDG_CACHE_HOME: join(folder, 'cache') };
  const child = spawn(join(build, 'clipspan'), ['serve', ...args, '--port', String(port), '--quiet'], { stdio: ['ignore', 'pipe', 'pipe'], env });
  const ended = new Promise((done) => child.on('exit', (code, signal) => done(code ?? signal)));
  process.on('exit', () => child.kill('SIGKILL')); /* a test that failed leaves none behind */
  let printed = '', said = '';
  child.stderr.on('data', (bytes) => { said += bytes; });
  return new Promise((ready, failed) => {
    ended.then((code) => failed(new Error(`clipspan serve ended with ${code}: ${said}`)));
    child.stdout.on('data', (bytes) => {
      printed += bytes;
      const end = printed.indexOf('\n');
      if (end < 0) return;
      const url = new URL(printed.slice(0, end));
      ready({ url: url.href, origin: url.origin, port: url.port, stop: () => { child.kill('SIGTERM'); return ended; } });
    });
  });
}
